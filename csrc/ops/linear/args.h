#pragma once

#include <cstdint>

#include "ops/unary/args.h"

namespace fnn {

// y = act(x w^T + b)
template <class T>
struct LinearFwdArgs {
  int64_t n, in, out;
  const T* x;  // (n, in)
  const T* w;  // (out, in), or (in, out) when w_transposed
  bool w_transposed;
  const T* b;  // (out) or null
  T* y;        // (n, out)
  bool has_activation;
  UnaryOp activation;  // one whose slope is computed from y

  template <class V>
  void visit(V& v) {
    v.in(x, n * in);
    v.in(w, out * in);
    v.in(b, out);
    v.out(y, n * out);
  }
  double flops() const { return 2.0 * n * in * out; }
};

// With g = dy act'(y):  dx = g w,  dw = g^T x,  db = column sums of g.
template <class T>
struct LinearBwdArgs {
  int64_t n, in, out;
  const T* x;  // (n, in)
  const T* w;  // (out, in), or (in, out) when w_transposed
  bool w_transposed;
  const T* y;   // (n, out); read with an activation only
  const T* dy;  // (n, out)
  T* g;         // (n, out) scratch; null without an activation
  T* dx;        // (n, in) or null
  T* dw;        // laid out as w, or null
  T* db;        // (out) or null
  bool has_activation;
  UnaryOp activation;

  template <class V>
  void visit(V& v) {
    v.in(x, n * in);
    v.in(w, out * in);
    if (has_activation) v.in(y, n * out);
    v.in(dy, n * out);
    v.out(g, n * out);
    v.out(dx, n * in);
    v.out(dw, out * in);
    v.out(db, out);
  }
  double flops() const { return 2.0 * n * in * out * ((dx ? 1 : 0) + (dw ? 1 : 0)); }
};

}  // namespace fnn
