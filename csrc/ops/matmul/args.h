#pragma once

#include <cstdint>

namespace fnn {

// C[b] = A[b] B[b] for a batch of row-major or column-major matrices.
// Backward reads A and B: dA = dC B^T, dB = A^T dC, the NT and TN forms of the same kernel.
template <class T>
struct MatmulArgs {
  int64_t batch, m, n, k;
  const T* a;  // (batch, m, k), or (batch, k, m) when a_transposed
  int64_t lda, a_step;
  bool a_transposed;
  const T* b;  // (batch, k, n), or (batch, n, k) when b_transposed
  int64_t ldb, b_step;
  bool b_transposed;
  T* c;  // (batch, m, n)
  int64_t ldc, c_step;

  template <class V>
  void visit(V& v) {
    v.in(a, batch * m * k);
    v.in(b, batch * k * n);
    v.out(c, batch * m * n);
  }
  double flops() const { return 2.0 * batch * m * n * k; }
};

}  // namespace fnn
