#pragma once

#include <cstdint>

namespace fnn {

// A window per output pixel; `adaptive` windows tile the input instead of sliding.
struct PoolShape {
  int64_t n, c, h, w, oh, ow;
  int64_t kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  bool adaptive;
};

// y[n, oy, ox, c] = the largest of the window; NaN wins, ties go to the first cell.
template <class T>
struct MaxPoolFwdArgs {
  PoolShape s;
  const T* x;      // (n, h, w, c)
  T* y;            // (n, oh, ow, c)
  int32_t* index;  // (n, oh, ow, c): iy * w + ix of the cell chosen
};

// dx = dy at the cell chosen, summed over the windows that chose it. Reads index only.
template <class T>
struct MaxPoolBwdArgs {
  PoolShape s;
  const int32_t* index;  // (n, oh, ow, c)
  const T* dy;           // (n, oh, ow, c)
  T* dx;                 // (n, h, w, c)
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
};

// y = (sum of |x|^p)^(1/p)
template <class T>
struct LpPoolFwdArgs {
  PoolShape s;
  const T* x;  // (n, h, w, c)
  T* y;        // (n, oh, ow, c)
  T p;
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
};

}  // namespace fnn
