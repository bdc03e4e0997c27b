#pragma once

#include <cstdint>

namespace fnn {

// Per channel over all rows: y = (x - mean) / sqrt(var + eps) * w + b. While training, mean
// and (biased) variance are the rows' own, and the running ones move towards them:
// running = (1 - momentum) running + momentum new, the variance unbiased there.
// Ioffe and Szegedy, "Batch normalization", 2015.
template <class T>
struct BatchNormFwdArgs {
  int64_t rows, c;
  const T* x;                     // (rows, c)
  const T* w;                     // (c) or null
  const T* b;                     // (c) or null
  T* y;                           // (rows, c)
  T *mean, *inverse_std;          // (c) each: what x was normalised by
  T *running_mean, *running_var;  // (c) each; null while training without them
  bool training;
  T momentum, eps;

  template <class V>
  void visit(V& v) {
    v.in(x, rows * c);
    v.in(w, c);
    v.in(b, c);
    v.out(y, rows * c);
    v.out(mean, c);
    v.out(inverse_std, c);
    v.inout(running_mean, c);
    v.inout(running_var, c);
  }
};

// With xhat = (x - mean) inverse_std and g = dy w inverse_std:
// db = sum dy, dw = sum dy xhat; dx = g while evaluating, and while training
// dx = w inverse_std (dy - db / rows - xhat dw / rows).
template <class T>
struct BatchNormBwdArgs {
  int64_t rows, c;
  const T* x;                   // (rows, c)
  const T* w;                   // (c) or null
  const T *mean, *inverse_std;  // (c) each
  const T* dy;                  // (rows, c)
  T* dx;                        // (rows, c) or null
  T *dw, *db;                   // (c) each
  bool training;

  template <class V>
  void visit(V& v) {
    v.in(x, rows * c);
    v.in(w, c);
    v.in(mean, c);
    v.in(inverse_std, c);
    v.in(dy, rows * c);
    v.out(dx, rows * c);
    v.out(dw, c);
    v.out(db, c);
  }
};

}  // namespace fnn
