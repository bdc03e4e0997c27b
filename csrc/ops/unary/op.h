#pragma once

#include "core/tensor.h"
#include "ops/unary/args.h"

namespace fnn {

// Without the tape.
Tensor unary(UnaryOp op, const Tensor& x, double alpha = 0, double beta = 0);
Tensor unary_backward(UnaryOp op, const Tensor& xy, const Tensor& dy, double alpha = 0, double beta = 0);
// On the tape.
Tensor apply_unary(UnaryOp op, const Tensor& x, double alpha = 0, double beta = 0);
// "none", "relu", "sigmoid", ...: the activations that linear fuses.
const char* unary_name(UnaryOp op);

}  // namespace fnn
