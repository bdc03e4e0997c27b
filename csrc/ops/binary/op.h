#pragma once

#include "core/tensor.h"
#include "ops/binary/args.h"

namespace fnn {

// Without the tape; both of one dtype, broadcast.
Tensor binary(BinaryOp op, const Tensor& a, const Tensor& b);
inline Tensor add(const Tensor& a, const Tensor& b) { return binary(BinaryOp::add, a, b); }
inline Tensor mul(const Tensor& a, const Tensor& b) { return binary(BinaryOp::mul, a, b); }
void add_(const Tensor& y, const Tensor& x);                     // y += x, in place; x broadcasts to y
Tensor compare(CompareOp op, const Tensor& a, const Tensor& b);  // bool

}  // namespace fnn
