#pragma once

#include <cstdint>

#include "core/inline.h"
#include "core/precision.h"
#include "core/strided_shape.h"

namespace fnn {

// C[i] = A[i] B[i] for a batch of row-major or column-major matrices, of any layout.
// Backward reads A and B: dA = dC B^T, dB = A^T dC, the NT and TN forms of the same kernel.
template <class T>
struct MatmulArgs {
  StridedShape<3> batch;  // of C, A and B
  int64_t m, n, k;
  const T* a;  // (m, lda), or (k, lda) when a_transposed
  int64_t lda;
  bool a_transposed;
  const T* b;  // (k, ldb), or (n, ldb) when b_transposed
  int64_t ldb;
  bool b_transposed;
  T* c;  // (batch, m, n)
  Precision precision;

  template <class V>
  void visit(V& v) {
    v.in(a, matrices(1) * m * k);
    v.in(b, matrices(2) * k * n);
    v.out(c, matrices(0) * m * n);
  }
  double flops() const { return 2.0 * batch.numel() * m * n * k; }

 private:
  // How many the batch has, the repeated ones once.
  FNN_INLINE int64_t matrices(int array) const {
    int64_t count = 1;
    for (int i = 0; i < batch.ndim; ++i) count *= batch.stride[array][i] == 0 && batch.size[i] > 0 ? 1 : batch.size[i];
    return count;
  }
};

}  // namespace fnn
