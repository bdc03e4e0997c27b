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
  T* mean;                        // (c): written while training, else read
  T* inverse_std;                 // (c): the same; 1 / sqrt(var + eps)
  T *running_mean, *running_var;  // (c) each or null
  bool training;
  T momentum, eps;
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
};

}  // namespace fnn
