#pragma once

namespace fnn {

// How a product of float32 may treat the numbers it multiplies: as they are, or rounded, with
// 11 or 8 significant bits left. It is always summed in float32.
enum class Precision { full, tf32, bf16 };

}  // namespace fnn
