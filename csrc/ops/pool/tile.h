// Where the window of an output lies along one axis and which windows lie over an input, and what
// pooling makes of a window: for a vector V, in integers Int.
#pragma once

#include "ops/pool/args.h"
#include "simd/math.h"

namespace fnn::FNN_ISA {

template <class Int>
struct Window {
  Int begin, end, step;  // cells inside the input
  Int padded;            // cells counting the padding on both sides
};

template <class Int>
FNN_INLINE Window<Int> window(Int i, Int size, Int out, Int kernel, Int stride, Int pad, Int dilation, bool adaptive) {
  if (adaptive) {
    const Int begin = i * size / out, end = ((i + 1) * size + out - 1) / out;
    return {begin, end, 1, end - begin};
  }
  const Int first = i * stride - pad, span = dilation * (kernel - 1) + 1, beyond = first + span;
  const Int limit = size + pad, last = beyond < limit ? beyond : limit;
  const Int skipped = first < 0 ? (-first + dilation - 1) / dilation : 0;
  return {first + skipped * dilation, beyond < size ? beyond : size, dilation, last - first};
}

template <class Int>
FNN_INLINE Window<Int> window_y(const PoolSizes<Int>& s, Int oy) {
  return window(oy, s.h, s.oh, s.kh, s.stride_h, s.pad_h, s.dilation_h, s.adaptive);
}
template <class Int>
FNN_INLINE Window<Int> window_x(const PoolSizes<Int>& s, Int ox) {
  return window(ox, s.w, s.ow, s.kw, s.stride_w, s.pad_w, s.dilation_w, s.adaptive);
}

// The outputs [begin, end) along one axis whose windows reach over cell i.
template <class Int>
struct Reach {
  Int begin, end;
};
// Stride: an Int, or what else an Int can be divided by.
template <class Int, class Stride>
FNN_INLINE Reach<Int> reach(Int i, Int size, Int out, Int kernel, Stride stride, Int pad, Int dilation, bool adaptive) {
  if (adaptive) return {i * out / size, ((i + 1) * out + size - 1) / size};
  const Int after = i + pad, before = after - dilation * (kernel - 1);  // the first cells of the windows that reach it
  const Int begin = before > 0 ? (before - 1) / stride + 1 : 0, end = after / stride + 1;
  return {begin, end < out ? end : out};
}

template <class Int, class Stride>
FNN_INLINE Reach<Int> reach_y(const PoolSizes<Int>& s, Int iy, Stride stride_h) {
  return reach(iy, s.h, s.oh, s.kh, stride_h, s.pad_h, s.dilation_h, s.adaptive);
}
template <class Int, class Stride>
FNN_INLINE Reach<Int> reach_x(const PoolSizes<Int>& s, Int ix, Stride stride_w) {
  return reach(ix, s.w, s.ow, s.kw, stride_w, s.pad_w, s.dilation_w, s.adaptive);
}

// Where looking for the largest of a window begins: nothing is smaller, and where all is equal it
// is the first cell. -1 if there is none.
template <class Int>
FNN_INLINE Int first_cell(const PoolSizes<Int>& s, const Window<Int>& rows, const Window<Int>& columns) {
  return rows.begin < rows.end && columns.begin < columns.end ? rows.begin * s.w + columns.begin : Int{-1};
}

// Whether x takes the place of the best so far: NaN wins, ties keep the first.
template <class V>
FNN_INLINE auto is_larger(V x, V best) {
  return (x > best) | ((x != x) & (best == best));
}

// What the mean of a window divides by.
template <class T, class Int>
FNN_INLINE T divisor(const AvgPoolArgs<T>& a, Window<Int> rows, Window<Int> columns) {
  if (a.divisor_override) return static_cast<T>(a.divisor_override);
  if (a.count_include_pad) return static_cast<T>(rows.padded * columns.padded);
  return static_cast<T>((rows.end - rows.begin) * (columns.end - columns.begin));
}

// Whether no window is cut off, so that all have one divisor.
template <class T>
FNN_INLINE bool uniform(const AvgPoolArgs<T>& a) {
  const PoolShape& z = a.s;
  if (a.divisor_override) return true;
  if (z.adaptive) return z.h % z.oh == 0 && z.w % z.ow == 0;
  return (a.count_include_pad || (z.pad_h == 0 && z.pad_w == 0)) &&
         (z.oh - 1) * z.stride_h + z.kh <= z.h + 2 * z.pad_h && (z.ow - 1) * z.stride_w + z.kw <= z.w + 2 * z.pad_w;
}

// The p-norm y: what a cell adds to the sum, what this becomes, and what dy adds to a cell's gradient.
template <class V, class T>
FNN_INLINE V lp_term(V x, T p) {
  x = abs(x);
  return p == T(2) ? x * x : pow(x, V(p));
}
template <class V, class T>
FNN_INLINE V lp_root(V total, T p) {
  return p == T(2) ? sqrt(total) : pow(total, V(T(1) / p));
}
template <class V, class T>
FNN_INLINE V lp_gradient(V x, V y, V dy, T p) {
  const V none(0);
  V slope = x / y;  // at most 1 in size: no overflow
  if (p != T(2)) {
    const V power = pow(abs(slope), V(p - T(1)));
    slope = select(x < none, -power, power);
  }
  return select(y == none, none, dy * slope);
}

}  // namespace fnn::FNN_ISA
