// Products of matrices in memory, and what a dense layer does with one before it is stored.
#pragma once

#include "core/stream.h"
#include "ops/linear/args.h"
#include "ops/matmul/args.h"

namespace fnn::cuda {

// v = C[i, j] + bias[j];  z = v;  v = act(v);  v = v slope(xz);  y = v, or a step of an optimizer
// for the parameter there, with v for its gradient. What is null or not asked for is left out.
template <class T>
struct DenseFinish {
  T* y;                     // (batch, m, n)
  const T* bias = nullptr;  // (n)
  T* z = nullptr;           // (m, n)
  bool has_activation = false;
  UnaryOp activation = UnaryOp::relu;
  const T* xz = nullptr;  // (m, n), where has_slope
  bool has_slope = false;
  UnaryOp slope_of = UnaryOp::relu;
  FusedUpdate<T> update = {};  // w (m, n)
};

template <class T>
struct Dense {
  int64_t m, n, k;
  const T* a;  // (m, k) or, transposed, (k, m)
  int64_t lda;
  bool a_transposed;
  const T* b;  // (k, n) or, transposed, (n, k)
  int64_t ldb;
  bool b_transposed;
  DenseFinish<T> finish;
  Precision precision = Precision::full;
  StridedShape<3> batch = {1, {1}, {}};  // as in MatmulArgs
};

// In ops/matmul/cuda.cu.
template <class T>
void dense(Stream& s, const Dense<T>& d);

}  // namespace fnn::cuda
