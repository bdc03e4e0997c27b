// Memory for tensors: 64-byte aligned blocks, kept for reuse. A training step asks for
// the same sizes again and again, and pages fresh from the system cost more to touch
// than most kernels take.
#pragma once

#include <cstddef>
#include <memory>

namespace fnn {

// Throws std::bad_alloc. The block goes back to the cache, or to the system when the
// cache is full, once its last owner lets go.
std::shared_ptr<void> allocate(size_t bytes);

}  // namespace fnn
