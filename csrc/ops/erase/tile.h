#pragma once

#include "ops/erase/args.h"
#include "simd/math.h"
#include "tile/philox_rounds.h"
#include "tile/portable.h"

namespace fnn::FNN_ISA {

struct Rectangle {
  int64_t top, bottom, left, right;  // of rows [top, bottom) and columns [left, right)

  FNN_INLINE bool holds(int64_t y, int64_t x) const { return y >= top && y < bottom && x >= left && x < right; }
};

FNN_INLINE int64_t whole_below(int64_t n, uint32_t word) {
  return static_cast<int64_t>((static_cast<uint64_t>(n) * word) >> 32);
}

// The rectangle of one image; block(i) are the four words of its i-th block.
template <class T, class Block>
FNN_INLINE Rectangle draw_rectangle(const EraseArgs<T>& a, const Block& block) {
  const auto draw = block(0);
  if (a.height) {
    const int64_t top = whole_below(a.h, draw.v[1]) - a.height / 2, left = whole_below(a.w, draw.v[2]) - a.width / 2;
    const int64_t bottom = top + a.height, right = left + a.width;
    return {top < 0 ? 0 : top, bottom < a.h ? bottom : a.h, left < 0 ? 0 : left, right < a.w ? right : a.w};
  }
  if (static_cast<double>(unit(draw.v[0])) >= a.p) return {0, 0, 0, 0};
  const auto between = [](const double (&range)[2], uint32_t word) {
    return range[0] + (range[1] - range[0]) * static_cast<double>(unit(word));
  };
  for (int i = 1; i <= kEraseTries; ++i) {
    const auto words = block(i);
    const double area = between(a.area, words.v[0]) * static_cast<double>(a.h * a.w);
    const double ratio = portable_exp(between(a.log_ratio, words.v[1]));
    const double height = nearest_integer(sqrt(area * ratio)), width = nearest_integer(sqrt(area / ratio));
    if (height >= static_cast<double>(a.h) || width >= static_cast<double>(a.w)) continue;
    const int64_t rows = static_cast<int64_t>(height), columns = static_cast<int64_t>(width);
    const int64_t top = whole_below(a.h - rows + 1, words.v[2]), left = whole_below(a.w - columns + 1, words.v[3]);
    return {top, top + rows, left, left + columns};
  }
  return {0, 0, 0, 0};
}

}  // namespace fnn::FNN_ISA
