// Sliding where the channels that come out do not fill a vector: the lanes go over the
// pixels of an output row. x then lies in rows of planes (h, c, w), where the pixels that
// one number of the kernel meets are neighbours.
#pragma once

#include "ops/conv2d/tile.h"

namespace fnn::FNN_ISA {

// Whether that is less work, counting 8 multiply-adds for a number to be put in its place.
template <class T>
FNN_INLINE bool suits_planar(const ConvShape& z) {
  constexpr int N = Vec<T>::N;
  const int64_t depth = z.kh * z.kw * z.c;
  return z.groups == 1 && z.stride_w == 1 && (z.dilation_h == 1 || z.c == 1) && z.o < N &&
         z.o * whole_vectors<T>(z.ow) * (depth + 8) < N * z.ow * depth;
}

// Tiles of kernels: rows (ky, c, kx), columns o.
template <class T>
void pack_planar(const T* w, const ConvShape& z, T* packed) {
  const int64_t step = even_rows(z.o), depth = z.kh * z.c * z.kw;
  for (int64_t o = 0; o < z.o; ++o)
    for (int64_t k = 0; k < depth; ++k)
      packed[o / step * step * depth + k * step + o % step] =
          w[o * z.ws[0] + k / z.kw % z.c * z.ws[1] + k / (z.kw * z.c) * z.ws[2] + k % z.kw * z.ws[3]];
}

// Rows of pixels (rows, w, c) as rows of planes.
template <class T>
void split_channels(const T* x, int64_t rows, int64_t w, int64_t c, T* planes) {
  for (int64_t r = 0; r < rows; ++r) transpose_block(x + r * w * c, c, w, c, planes + r * w * c, w);
}

// As slide(), with the pieces of k the rows of a plane, (kw) numbers each; `width` is that of
// x's rows. `planes` has room for (channels, whole vectors of pixels).
template <class T>
void slide_planar(const Slide<T>& a, const ConvShape& z, int64_t width, T* planes) {
  constexpr int W = kTileCols<T>;
  const int64_t row = whole_vectors<T>(a.pixels), depth = a.k.count * a.k.length;
  const int step = even_rows(a.channels);
  Tile<T> t;
  t.a_step = step * depth;
  t.c_step = step * row;
  t.lda = step;
  t.layout = ALayout::columns;
  t.k = a.k;
  t.ldb = z.dilation_w;
  t.b_skip = z.dilation_h * width - z.kw * z.dilation_w;
  t.b_padded = false;
  t.ldc = row;
  t.accumulate = a.bias != nullptr;
  t.bias = nullptr;
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t o = 0; a.bias && o < a.channels; ++o)
      for_vec<T>(0, row, [&](auto at) { at.store(planes + o * row, Vec<T>(a.bias[o])); });
    for (int64_t q = 0; q < a.pixels; q += W) {
      t.a = a.packed;
      t.b = a.src + r * a.src_row + q;
      t.c = planes + q;
      t.cols = static_cast<int>(a.pixels - q < W ? a.pixels - q : W);
      run_tiles(t, a.channels, step);
    }
    transpose_block(planes, row, a.channels, a.pixels, a.dst + r * a.dst_row, a.dst_pixel);
  }
}

}  // namespace fnn::FNN_ISA
