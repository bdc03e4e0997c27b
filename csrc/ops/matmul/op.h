#pragma once

#include "core/precision.h"
#include "core/tensor.h"

namespace fnn {

// Of products of float32 on the device that this thread works on; the same for all of a recorded
// step, as plans are forgotten when it changes.
Precision product_precision();

// A view with the two dimensions swapped, without the tape.
Tensor swapped(const Tensor& x);

}  // namespace fnn
