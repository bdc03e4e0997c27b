#pragma once

#include "core/tensor.h"

namespace fnn {

// A matrix as the kernels take it: either order of memory, no copy when one of the
// strides is 1.
struct Matrix {
  Tensor held;  // keeps a copy alive where one was needed
  int64_t ld = 0;
  bool transposed = false;
};
Matrix as_matrix(const Tensor& x);

// Without the tape: A (m, k) times B (k, n), each in any layout; the result is row-major.
Tensor matmul_2d(const Tensor& a, const Tensor& b);
// A view with the two dimensions swapped, without the tape.
Tensor swapped(const Tensor& x);

}  // namespace fnn
