#pragma once

#include <cstdint>

namespace fnn {

// Per row: y = exp(x - max x) / sum, or its logarithm.
template <class T>
struct SoftmaxFwdArgs {
  const T* x;  // (rows, n)
  T* y;        // (rows, n)
  int64_t rows, n;
  bool log;

  template <class V>
  void visit(V& v) {
    v.in(x, rows * n);
    v.out(y, rows * n);
  }
};

// softmax: dx = y (dy - sum dy y).  log_softmax: dx = dy - exp(y) sum dy.
template <class T>
struct SoftmaxBwdArgs {
  const T* y;   // (rows, n)
  const T* dy;  // (rows, n)
  T* dx;        // (rows, n)
  int64_t rows, n;
  bool log;

  template <class V>
  void visit(V& v) {
    v.in(y, rows * n);
    v.in(dy, rows * n);
    v.out(dx, rows * n);
  }
};

}  // namespace fnn
