#pragma once

#include "core/tensor.h"

namespace fnn {

// Without the tape: x summed over the dimensions that broadcasting from `shape` repeated.
Tensor sum_to(const Tensor& x, const Dims& shape);

}  // namespace fnn
