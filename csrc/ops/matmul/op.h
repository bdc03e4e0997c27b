#pragma once

#include "core/tensor.h"

namespace fnn {

// Whether products of float32 are to round what they multiply to bfloat16; the same for all
// of a recorded step, as plans are forgotten when it changes.
bool products_in_bf16();

// A view with the two dimensions swapped, without the tape.
Tensor swapped(const Tensor& x);

}  // namespace fnn
