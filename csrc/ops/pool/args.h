#pragma once

#include <cstdint>

#include "core/inline.h"

namespace fnn {

// A window per output pixel; `adaptive` windows tile the input instead of sliding.
template <class Int>
struct PoolSizes {
  Int n, c, h, w, oh, ow;
  Int kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  bool adaptive;

  FNN_INLINE Int inputs() const { return n * h * w * c; }
  FNN_INLINE Int outputs() const { return n * oh * ow * c; }
};
using PoolShape = PoolSizes<int64_t>;

// y[n, oy, ox, c] = the largest of the window; NaN wins, ties go to the first cell.
// -inf and -1 where dilation leads past all cells.
template <class T>
struct MaxPoolFwdArgs {
  PoolShape s;
  const T* x;      // (n, h, w, c)
  T* y;            // (n, oh, ow, c)
  int32_t* index;  // (n, oh, ow, c): iy * w + ix of the cell chosen

  template <class V>
  void visit(V& v) {
    v.in(x, s.inputs());
    v.out(y, s.outputs());
    v.out(index, s.outputs());
  }
};

// dx = dy at the cell chosen, summed over the windows that chose it. Reads index only.
template <class T>
struct MaxPoolBwdArgs {
  PoolShape s;
  const int32_t* index;  // (n, oh, ow, c)
  const T* dy;           // (n, oh, ow, c)
  T* dx;                 // (n, h, w, c)

  template <class V>
  void visit(V& v) {
    v.in(index, s.outputs());
    v.in(dy, s.outputs());
    v.out(dx, s.inputs());
  }
};

// y = sum of the window / divisor, which is the window's size with or without the padding,
// or divisor_override where that is not 0.
template <class T>
struct AvgPoolArgs {
  PoolShape s;
  const T* x;  // (n, h, w, c); backward: dy (n, oh, ow, c)
  T* y;        // (n, oh, ow, c); backward: dx (n, h, w, c)
  bool count_include_pad;
  int64_t divisor_override;

  template <class V>
  void visit(V& v) {  // backward swaps the two sizes
    v.in(x, s.inputs());
    v.out(y, s.outputs());
  }
};

// y = (sum of |x|^p)^(1/p)
template <class T>
struct LpPoolFwdArgs {
  PoolShape s;
  const T* x;  // (n, h, w, c)
  T* y;        // (n, oh, ow, c)
  T p;

  template <class V>
  void visit(V& v) {
    v.in(x, s.inputs());
    v.out(y, s.outputs());
  }
};

// dx = dy |x|^(p-1) sign(x) y^(1-p), and 0 where y is 0.
template <class T>
struct LpPoolBwdArgs {
  PoolShape s;
  const T* x;   // (n, h, w, c)
  const T* y;   // (n, oh, ow, c)
  const T* dy;  // (n, oh, ow, c)
  T* dx;        // (n, h, w, c)
  T p;

  template <class V>
  void visit(V& v) {
    v.in(x, s.inputs());
    v.in(y, s.outputs());
    v.in(dy, s.outputs());
    v.out(dx, s.inputs());
  }
};

}  // namespace fnn
