#pragma once

#include "core/tensor.h"

namespace fnn {

// Rows input[index[j]] along the first axis.
Tensor index_select(const Tensor& input, int64_t dim, const Tensor& index);

}  // namespace fnn
