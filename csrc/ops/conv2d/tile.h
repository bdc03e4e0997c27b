// A convolution as products of the register tile. In channels-last order the window of
// an output pixel is, for every kernel row, one run of kw * c neighbouring numbers, and
// the window of the next pixel starts stride * c further: rows of a matrix A that is
// never built. Forward and backward-data differ only in what they slide over what.
#pragma once

#include "core/stream.h"
#include "ops/conv2d/args.h"
#include "tile/pack.h"

namespace fnn::FNN_ISA {

// One image's worth of sliding: dst[r, q, :] = bias + sum over k of window(r, q)[k] B[k, :].
template <class T>
struct Slide {
  const T* src;       // window of output (0, 0)
  int64_t src_row;    // from the windows of one output row to those of the next
  int64_t src_pixel;  // from one window to the next in a row
  Segments k;         // the pieces of a window
  const T* packed;    // B (k, channels) in panels (pack.h)
  const T* bias;      // (channels) or null
  T* dst;
  int64_t dst_row, dst_pixel;
  int64_t rows, pixels, channels;
};

// B's panels are taken a few at a time, as many as stay in the second-level cache, and pass over
// one row of dst after the other.
template <class T>
void slide(const Slide<T>& a) {
  constexpr int W = kTileCols<T>;
  constexpr int64_t kBlock = (128 << 10) / static_cast<int64_t>(sizeof(T));
  const int64_t panel = a.k.count * a.k.length * W, fit = kBlock / (panel + 1), block = (fit > 1 ? fit : 1) * W;
  Tile<T> t;
  t.lda = a.src_pixel;
  t.layout = ALayout::rows;
  t.k = a.k;
  t.ldb = W;
  t.b_padded = true;
  t.ldc = a.dst_pixel;
  t.accumulate = false;
  for (int64_t first = 0; first < a.channels; first += block) {
    const int64_t last = a.channels - first < block ? a.channels : first + block;
    for (int64_t r = 0; r < a.rows; ++r)
      for (int64_t c = first; c < last; c += W) {
        t.b = a.packed + c / W * panel;
        t.cols = static_cast<int>(a.channels - c < W ? a.channels - c : W);
        t.bias = a.bias ? a.bias + c : nullptr;
        const int step = even_rows(a.pixels, most_rows<T>(t.cols));
        t.a = a.src + r * a.src_row;
        t.a_step = step * a.src_pixel;
        t.c = a.dst + r * a.dst_row + c;
        t.c_step = step * a.dst_pixel;
        run_tiles(t, a.pixels, step);
      }
  }
}

// Room for a run of numbers in whole vectors.
template <class T>
FNN_INLINE int64_t whole_vectors(int64_t length) {
  constexpr int N = Vec<T>::N;
  return (length + N - 1) / N * N;
}

// Rows [y0, y1) of an image (h, w, c), which may begin above and end below it, with
// `left` and `right` zero pixels beside each.
template <class T>
void pad_rows(const T* x, int64_t h, int64_t w, int64_t c, int64_t y0, int64_t y1, int64_t left, int64_t right,
              T* out) {
  const int64_t row = (left + w + right) * c;
  for (int64_t y = y0; y < y1; ++y, out += row) {
    if (y < 0 || y >= h) {
      for (int64_t i = 0; i < row; ++i) out[i] = T(0);
      continue;
    }
    for (int64_t i = 0; i < left * c; ++i) out[i] = T(0);
    __builtin_memcpy(out + left * c, x + y * w * c, w * c * sizeof(T));
    for (int64_t i = (left + w) * c; i < row; ++i) out[i] = T(0);
  }
}

// The same with `stride` between the row's numbers.
template <class T>
FNN_INLINE void pack_row(const T* w, int64_t stride, int64_t channels, int64_t depth, int64_t k, T* packed) {
  if (stride == 1) return pack_row(w, channels, depth, k, packed);
  constexpr int W = kTileCols<T>;
  for (int64_t c = 0; c < (channels + W - 1) / W * W; ++c)
    packed[(c / W * depth + k) * W + c % W] = c < channels ? w[c * stride] : T(0);
}

template <class T>
FNN_INLINE int64_t packed_size(int64_t depth, int64_t channels) {
  return depth * ((channels + kTileCols<T> - 1) / kTileCols<T>)*kTileCols<T>;
}

// The forward kernels of all groups: rows (ky, kx, c), columns o. They are read in the order in
// which they lie, ours (kx, ky, c, o) or PyTorch's (o, c, ky, kx), so that what one line of the
// cache holds is used at once.
template <class T>
void pack_kernel(Stream& s, const T* w, const ConvShape& z, T* packed) {
  constexpr int W = kTileCols<T>;
  const int64_t cg = z.c / z.groups, og = z.o / z.groups, taps = z.kh * z.kw, depth = taps * cg;
  const int64_t panels = (og + W - 1) / W;
  if (z.ws[0] == 1)
    return parallel_for(s, z.groups * depth, 8192 / (og + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t g = i / depth, kx = i % depth / (z.kh * cg), ky = i / cg % z.kh, c = i % cg;
        pack_row(w + g * og + c * z.ws[1] + ky * z.ws[2] + kx * z.ws[3], og, depth, (ky * z.kw + kx) * cg + c,
                 packed + g * packed_size<T>(depth, og));
      }
    });
  parallel_for(s, z.groups * panels * cg, 8192 / (taps * W + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i / cg, c = i % cg, o = panel % panels * W, n = og - o < W ? og - o : W;
      const T* from = w + (panel / panels * og + o) * z.ws[0] + c * z.ws[1];
      for (int64_t tap = 0; tap < taps; ++tap)
        pack_row(from + tap / z.kw * z.ws[2] + tap % z.kw * z.ws[3], z.ws[0], n, depth, tap * cg + c,
                 packed + panel * depth * W);
    }
  });
}

}  // namespace fnn::FNN_ISA
