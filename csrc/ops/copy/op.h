// Copies, casts and fills, as the other operations use them.
#pragma once

#include "core/scalar.h"
#include "core/tensor.h"

namespace fnn {

// Without the tape:
Tensor clone(const Tensor& x);  // dense, same layout as x where x is dense
Tensor full_like(const Tensor& x, double value);
Tensor full(const Dims& shape, DType dtype, double value);
Tensor zeros(const Dims& shape, DType dtype);
Tensor scalar_tensor(const char* op, const Scalar& s, DType dtype);  // of 0 dimensions; refuses what dtype cannot hold
Tensor cast(const char* op, const Tensor& x, DType to);              // x itself when it has the type
void copy_into(const Tensor& y, const Tensor& x);                    // same shape and dtype, any strides

// x itself when it already is so, else a copy.
Tensor as_contiguous(const Tensor& x);
Tensor as_channels_last(const Tensor& x);
Tensor as_dense(const Tensor& x);
Tensor on_device(const Tensor& x, Device device);              // in its strides, where x is dense
Tensor as_strided_like(const Tensor& x, const Dims& strides);  // x in the strides of a dense layout

// On the tape:
enum class MemoryFormat { contiguous, channels_last };
Tensor contiguous(const Tensor& x, MemoryFormat format);
Tensor to(const char* op, const Tensor& x, DType dtype);
Tensor to(const Tensor& x, Device device);

}  // namespace fnn
