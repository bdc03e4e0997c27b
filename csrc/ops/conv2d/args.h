#pragma once

#include <cstdint>

#include "core/inline.h"
#include "core/precision.h"
#include "ops/unary/args.h"

namespace fnn {

// Sizes of a convolution. `c` and `o` count all groups' channels.
struct ConvShape {
  int64_t n, c, h, w;  // input
  int64_t o, kh, kw;   // kernel; each sees c / groups channels
  int64_t oh, ow;      // output
  int64_t stride_h, stride_w, dilation_h, dilation_w;
  int64_t top, left, bottom, right;  // padding
  int64_t groups;
  int64_t ws[4];  // strides of the weight's (o, c / groups, kh, kw)
  bool winograd;  // where it pays (winograd.h)

  FNN_INLINE int64_t inputs() const { return n * h * w * c; }
  FNN_INLINE int64_t outputs() const { return n * oh * ow * o; }
  FNN_INLINE int64_t weights() const { return o * (c / groups) * kh * kw; }
  FNN_INLINE double flops() const { return 2.0 * outputs() * (c / groups) * kh * kw; }
};

// What a plan makes part of the convolution before y: an activation whose slope is a
// function of its value, then the largest of 2 x 2 cells, whose number (0 to 3, row by
// row) is all that is kept of the others.
struct ConvTail {
  bool has_activation;
  UnaryOp activation;
  bool pool;

  FNN_INLINE bool empty() const { return !has_activation && !pool; }
};

FNN_INLINE int64_t outputs(const ConvShape& s, const ConvTail& tail) {
  return tail.pool ? s.n * (s.oh / 2) * (s.ow / 2) * s.o : s.outputs();
}

// z[n, oy, ox, o] = b[o] + sum over ky, kx, c of
//                   x[n, oy sh + ky dh - top, ox sw + kx dw - left, c] w[o, c, ky, kx];  y = tail(z)
template <class T>
struct Conv2dFwdArgs {
  ConvShape s;
  const T* x;  // (n, h, w, c)
  const T* w;  // (o, c / groups, kh, kw) in the strides s.ws
  const T* b;  // (o) or null
  T* y;        // (n, oh, ow, o), or (n, oh / 2, ow / 2, o) when pooled
  ConvTail tail;
  uint8_t* cell;        // as y, when pooled
  Precision precision;  // of a GPU's products of matrices; all other sums are full

  template <class V>
  void visit(V& v) {
    v.in(x, s.inputs());
    v.in(w, s.weights());
    v.in(b, s.o);
    v.out(y, outputs(s, tail));
    v.out(cell, outputs(s, tail));
  }
  double flops() const { return s.flops(); }
};

// Reads x, w and, of a tail, y and cell.
template <class T>
struct Conv2dBwdArgs {
  ConvShape s;
  const T* x;   // (n, h, w, c); null when dw is
  const T* w;   // strides s.ws; null when dx is
  const T* dy;  // as y
  T* dx;        // (n, h, w, c) or null
  T* dw;        // strides s.ws, or null
  T* db;        // (o) or null
  ConvTail tail;
  const T* y;           // as in forward, with an activation
  const uint8_t* cell;  // as y, when pooled
  Precision precision;  // as in forward

  template <class V>
  void visit(V& v) {
    v.in(x, s.inputs());
    v.in(w, s.weights());
    v.in(dy, outputs(s, tail));
    v.in(y, outputs(s, tail));
    v.in(cell, outputs(s, tail));
    v.out(dx, s.inputs());
    v.out(dw, s.weights());
    v.out(db, s.o);
  }
  double flops() const { return s.flops() * ((dx ? 1 : 0) + (dw ? 1 : 0)); }
};

}  // namespace fnn
