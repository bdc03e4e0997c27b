// Views: new shapes and strides over the same storage.
#pragma once

#include "core/tensor.h"

namespace fnn {

// On the tape. reshape copies when no strides can express the new shape.
Tensor reshape(const Tensor& x, Dims shape);
Tensor permute(const Tensor& x, const Dims& order);
Tensor expand(const Tensor& x, Dims shape);
Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1);
// Without the tape: strides of x for a new shape, or false.
bool view_strides(const TensorImpl& x, const Dims& shape, Dims& strides);

}  // namespace fnn
