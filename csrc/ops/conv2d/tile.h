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

template <class T>
void slide(const Slide<T>& a) {
  constexpr int W = kTileCols<T>;
  const int step = even_rows(a.pixels);
  const int64_t depth = a.k.count * a.k.length;
  for (int64_t p = 0; p * W < a.channels; ++p)
    for (int64_t r = 0; r < a.rows; ++r)
      for (int64_t q = 0; q < a.pixels; q += step) {
        Tile<T> t;
        t.a = a.src + r * a.src_row + q * a.src_pixel;
        t.lda = a.src_pixel;
        t.layout = ALayout::rows;
        t.k = a.k;
        t.b = a.packed + p * depth * W;
        t.ldb = W;
        t.b_padded = true;
        t.c = a.dst + r * a.dst_row + q * a.dst_pixel + p * W;
        t.ldc = a.dst_pixel;
        t.rows = static_cast<int>(a.pixels - q < step ? a.pixels - q : step);
        t.cols = static_cast<int>(a.channels - p * W < W ? a.channels - p * W : W);
        t.accumulate = false;
        t.bias = a.bias ? a.bias + p * W : nullptr;
        run_tile(t);
      }
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

// The forward kernels of all groups: rows (ky, kx, c), columns o. A panel is packed in the
// order in which PyTorch's layout has its weights, so that what one line of the cache holds
// is used at once.
template <class T>
void pack_kernel(Stream& s, const T* w, const ConvShape& z, T* packed) {
  constexpr int W = kTileCols<T>;
  const int64_t cg = z.c / z.groups, og = z.o / z.groups, taps = z.kh * z.kw, depth = taps * cg;
  const int64_t panels = (og + W - 1) / W;
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
