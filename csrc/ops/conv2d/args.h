#pragma once

#include <cstdint>

#include "core/inline.h"

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

  FNN_INLINE int64_t inputs() const { return n * h * w * c; }
  FNN_INLINE int64_t outputs() const { return n * oh * ow * o; }
  FNN_INLINE int64_t weights() const { return o * (c / groups) * kh * kw; }
  FNN_INLINE double flops() const { return 2.0 * outputs() * (c / groups) * kh * kw; }
};

// y[n, oy, ox, o] = b[o] + sum over ky, kx, c of
//                   x[n, oy sh + ky dh - top, ox sw + kx dw - left, c] w[o, c, ky, kx]
template <class T>
struct Conv2dFwdArgs {
  ConvShape s;
  const T* x;  // (n, h, w, c)
  const T* w;  // (o, c / groups, kh, kw) in the strides s.ws
  const T* b;  // (o) or null
  T* y;        // (n, oh, ow, o)

  template <class V>
  void visit(V& v) {
    v.in(x, s.inputs());
    v.in(w, s.weights());
    v.in(b, s.o);
    v.out(y, s.outputs());
  }
  double flops() const { return s.flops(); }
};

// Reads x and w, never y.
template <class T>
struct Conv2dBwdArgs {
  ConvShape s;
  const T* x;   // (n, h, w, c); null when dw is
  const T* w;   // strides s.ws; null when dx is
  const T* dy;  // (n, oh, ow, o)
  T* dx;        // (n, h, w, c) or null
  T* dw;        // strides s.ws, or null
  T* db;        // (o) or null

  template <class V>
  void visit(V& v) {
    v.in(x, s.inputs());
    v.in(w, s.weights());
    v.in(dy, s.outputs());
    v.out(dx, s.inputs());
    v.out(dw, s.weights());
    v.out(db, s.o);
  }
  double flops() const { return s.flops() * ((dx ? 1 : 0) + (dw ? 1 : 0)); }
};

}  // namespace fnn
