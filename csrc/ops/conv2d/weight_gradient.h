// The gradient of a convolution's weights: products of columns of windows with dz.
#pragma once

#include "ops/conv2d/tile.h"
#include "tile/reduce.h"

namespace fnn::FNN_ISA {

template <class T>
class WeightGradient {
 public:
  explicit WeightGradient(const Conv2dBwdArgs<T>& a) : a(a), z(a.s), cg(z.c / z.groups), og(z.o / z.groups) {}

  int64_t elements() const { return z.kh * z.kw * z.c * og; }  // of one sum: (groups, kh, kw, cg, og)
  int64_t image_elements() const { return (z.top + z.h + z.bottom) * width() * z.c; }
  bool padded() const { return z.top || z.left || z.bottom || z.right; }
  // What add() needs for itself.
  int64_t scratch_elements(int64_t images) const { return x_elements(images) + dz_elements(images * z.oh * z.ow); }

  // Where the windows of output row r begin in image i of several.
  void offsets(int64_t images, int64_t rows, int64_t* offsets) const {
    for (int64_t i = 0; i < images; ++i)
      for (int64_t r = 0; r < rows; ++r) offsets[i * rows + r] = i * image_elements() + r * z.stride_h * width() * z.c;
  }

  // sum (+)= the part of images [n, n + images) and output rows [row, row + rows), whose dz
  // (images, rows, ow, o) is given. More than one image takes all rows.
  void add(int64_t n, int64_t images, int64_t row, int64_t rows, const T* dz, const int64_t* offsets, bool accumulate,
           T* sum, T* scratch) const {
    constexpr int W = kTileCols<T>;
    const T* x = a.x + n * z.h * z.w * z.c;
    if (padded()) {
      for (int64_t i = 0; i < images; ++i)
        pad_rows(x + i * z.h * z.w * z.c, z.h, z.w, z.c, -z.top, z.h + z.bottom, z.left, z.right,
                 scratch + i * image_elements());
      x = scratch;
    }
    // dz in panels, where its rows are longer than one: they would share few sets of the cache.
    const int64_t pixels = images * rows * z.ow;
    const T* b = dz;
    if (packs()) {
      T* panels = scratch + x_elements(images);
      for (int64_t g = 0; g < z.groups; ++g)
        for (int64_t i = 0; i < pixels; ++i)
          pack_row(dz + i * z.o + g * og, og, pixels, i, panels + g * packed_size<T>(pixels, og));
      b = panels;
    }
    x += row * z.stride_h * width() * z.c;
    // Rows of a block: a whole kernel row where its pixels touch, else one tap of one group.
    const bool runs = z.groups == 1 && z.dilation_w == 1;
    const int64_t block_rows = runs ? z.kw * z.c : cg, taps = z.kh * z.kw;
    const int64_t blocks = runs ? z.kh : z.groups * taps;
    // Some rows of dz at a time, of which a panel and the windows stay in the first-level cache.
    constexpr int64_t kPanel = (8 << 10) / static_cast<int64_t>(W * sizeof(T));
    const int64_t all = images * rows, some = !packs() ? all : z.ow < kPanel ? kPanel / z.ow : 1;
    for (int64_t begin = 0; begin < all; begin += some)
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t g = runs ? 0 : block / taps, ky = runs ? block : block % taps / z.kw,
                      kx = runs ? 0 : block % z.kw;
        const T* src = x + (ky * z.dilation_h * width() + kx * z.dilation_w) * z.c + g * cg;
        for (int64_t p = 0; p < og; p += W) {
          const int cols = static_cast<int>(og - p < W ? og - p : W), step = even_rows(block_rows, most_rows<T>(cols));
          Tile<T> t;
          t.a = src;
          t.lda = z.stride_w * z.c;
          t.a_step = step;
          t.layout = ALayout::columns;
          t.k = {offsets + begin, all - begin < some ? all - begin : some, z.ow};
          t.b_padded = packs();
          t.ldb = packs() ? W : z.o;
          t.b = b + begin * z.ow * t.ldb + (packs() ? g * packed_size<T>(pixels, og) + p * pixels : g * og + p);
          t.c = sum + block * block_rows * og + p;
          t.ldc = og;
          t.c_step = step * og;
          t.cols = cols;
          t.accumulate = accumulate || begin > 0;
          t.bias = nullptr;
          run_tiles(t, block_rows, step);
        }
      }
  }

  // dw = the sum of `parts` sums, in order, in the weights' own layout.
  void finish(Stream& s, T* sums, int64_t parts) const {
    const int64_t taps = z.kh * z.kw;
    parallel_for(s, z.groups * taps, 16384 / (parts * cg * og + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t g = i / taps, at = i % taps;
        T* dw = a.dw + g * og * z.ws[0] + at / z.kw * z.ws[2] + at % z.kw * z.ws[3];
        T* sum = sums + i * cg * og;
        column_sums(sum, parts, elements(), sum, cg * og);
        for (int64_t c = 0; c < cg; ++c)
          for (int64_t o = 0; o < og; ++o) dw[o * z.ws[0] + c * z.ws[1]] = sum[c * og + o];
      }
    });
  }

 private:
  int64_t width() const { return z.left + z.w + z.right; }
  bool packs() const { return og > kTileCols<T>; }
  int64_t x_elements(int64_t images) const { return padded() ? (images * image_elements() + 15) / 16 * 16 : 0; }
  int64_t dz_elements(int64_t pixels) const { return packs() ? z.groups * packed_size<T>(pixels, og) : 0; }

  const Conv2dBwdArgs<T>& a;
  const ConvShape& z;
  const int64_t cg, og;
};

}  // namespace fnn::FNN_ISA
