#include "ops/conv2d/tile.h"
#include "core/stream.h"
#include "tile/reduce.h"

namespace fnn::FNN_ISA {

// --- forward ------------------------------------------------------------------------------

template <class T>
void conv2d_fwd(Stream& s, const Conv2dFwdArgs<T>& a) {
  const ConvShape& z = a.s;
  const int64_t cg = z.c / z.groups, og = z.o / z.groups, depth = z.kh * z.kw * cg;
  const int64_t group_size = packed_size<T>(depth, og);
  // A window row is one run where its pixels touch: undilated, all channels.
  const bool runs = z.groups == 1 && z.dilation_w == 1;
  const int64_t segments = runs ? z.kh : z.kh * z.kw;
  T* packed = static_cast<T*>(s.workspace(z.groups * group_size * sizeof(T) + segments * sizeof(int64_t)));
  int64_t* offsets = reinterpret_cast<int64_t*>(packed + z.groups * group_size);

  parallel_for(s, z.groups * z.kh * z.kw, 8192 / (cg * og + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t g = i / (z.kh * z.kw), at = i % (z.kh * z.kw);
      const T* w = a.w + g * og * z.ws[0] + at / z.kw * z.ws[2] + at % z.kw * z.ws[3];
      for (int64_t c = 0; c < cg; ++c)
        pack_row(w + c * z.ws[1], z.ws[0], og, depth, at * cg + c, packed + g * group_size);
    }
  });

  const bool padded = z.top || z.left || z.bottom || z.right;
  const int64_t width = z.left + z.w + z.right;
  for (int64_t i = 0; i < segments; ++i) {
    const int64_t ky = runs ? i : i / z.kw, kx = runs ? 0 : i % z.kw;
    offsets[i] = (ky * z.dilation_h * width + kx * z.dilation_w) * z.c;
  }

  // An image a task, or part of one when there are few images.
  int64_t blocks = z.n >= 4 * s.threads ? 1 : (4 * s.threads + z.n - 1) / z.n;
  if (blocks > z.oh) blocks = z.oh;
  const int64_t block_rows = (z.oh + blocks - 1) / blocks;
  parallel_for(s, z.n * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / blocks, row = i % blocks * block_rows;
      const int64_t rows = z.oh - row < block_rows ? z.oh - row : block_rows;
      if (rows <= 0) continue;
      const T* src = a.x + (n * z.h + row * z.stride_h) * z.w * z.c;
      if (padded) {
        const int64_t y0 = row * z.stride_h - z.top;
        const int64_t y1 = y0 + (rows - 1) * z.stride_h + (z.kh - 1) * z.dilation_h + 1;
        T* buffer = static_cast<T*>(Stream::thread_workspace((y1 - y0) * width * z.c * sizeof(T)));
        pad_rows(a.x + n * z.h * z.w * z.c, z.h, z.w, z.c, y0, y1, z.left, z.right, buffer);
        src = buffer;
      }
      for (int64_t g = 0; g < z.groups; ++g)
        slide(Slide<T>{src + g * cg,
                       z.stride_h * width * z.c,
                       z.stride_w * z.c,
                       {offsets, segments, runs ? z.kw * z.c : cg},
                       packed + g * group_size,
                       a.b ? a.b + g * og : nullptr,
                       a.y + ((n * z.oh + row) * z.ow) * z.o + g * og,
                       z.ow * z.o,
                       z.o,
                       rows,
                       z.ow,
                       og});
    }
  });
}

// --- backward, data -----------------------------------------------------------------------

// Two ways, chosen by their work. Gathering slides a turned kernel over dy: no additions
// to memory, but windows that reach over dy's border multiply zeros. Scattering multiplies
// each pixel of dy by the whole kernel and adds the pieces into dx.

// Along one axis: the inputs i = phase + stride t see the kernel positions k for which
// (i + pad - k dilation) is a multiple of the stride, and then the output t + shift(k).
struct Phase {
  int64_t phase, stride, dilation, pad, kernel;
  FNN_INLINE bool sees(int64_t k) const { return (phase + pad - k * dilation) % stride == 0; }
  FNN_INLINE int64_t shift(int64_t k) const { return (phase + pad - k * dilation) / stride; }
  FNN_INLINE int64_t inputs(int64_t size) const { return (size - phase + stride - 1) / stride; }
  FNN_INLINE int64_t count() const {
    int64_t n = 0;
    for (int64_t k = 0; k < kernel; ++k) n += sees(k);
    return n;
  }
};

// How far the outputs that any phase sees reach before 0 and beyond size - 1.
FNN_INLINE void reach(int64_t inputs, int64_t outputs, Phase p, int64_t& before, int64_t& after) {
  before = after = 0;
  for (p.phase = 0; p.phase < p.stride; ++p.phase)
    for (int64_t k = 0; k < p.kernel; ++k) {
      if (!p.sees(k) || p.inputs(inputs) <= 0) continue;
      const int64_t first = p.shift(k), last = first + p.inputs(inputs) - 1;
      if (-first > before) before = -first;
      if (last - (outputs - 1) > after) after = last - (outputs - 1);
    }
}

template <class T>
void gather_data(Stream& s, const Conv2dBwdArgs<T>& a) {
  const ConvShape& z = a.s;
  const int64_t cg = z.c / z.groups, og = z.o / z.groups;
  Phase vertical{0, z.stride_h, z.dilation_h, z.top, z.kh}, horizontal{0, z.stride_w, z.dilation_w, z.left, z.kw};
  int64_t top, bottom, left, right;
  reach(z.h, z.oh, vertical, top, bottom);
  reach(z.w, z.ow, horizontal, left, right);
  const int64_t width = left + z.ow + right, height = top + z.oh + bottom;
  const bool padded = top || bottom || left || right;

  // Each phase is a stride-1 convolution over dy with its part of the kernel, turned round:
  // kx from the last to the first, so that the runs over dy ascend.
  const int64_t taps = z.kh * z.kw, group_size = packed_size<T>(taps * og, cg);
  T* packed = static_cast<T*>(s.workspace(z.groups * group_size * sizeof(T) + taps * sizeof(int64_t)));
  int64_t* offsets = reinterpret_cast<int64_t*>(packed + z.groups * group_size);

  for (vertical.phase = 0; vertical.phase < z.stride_h; ++vertical.phase)
    for (horizontal.phase = 0; horizontal.phase < z.stride_w; ++horizontal.phase) {
      const int64_t rows = vertical.inputs(z.h), pixels = horizontal.inputs(z.w);
      if (rows <= 0 || pixels <= 0) continue;
      const int64_t across = horizontal.count(), depth = vertical.count() * across * og;
      const bool runs = z.groups == 1 && z.stride_w % z.dilation_w == 0;  // its taps read neighbouring pixels
      int64_t segments = 0, tap = 0;
      for (int64_t ky = 0; ky < z.kh; ++ky) {
        if (!vertical.sees(ky)) continue;
        bool first = true;
        for (int64_t kx = z.kw - 1; kx >= 0; --kx) {
          if (!horizontal.sees(kx)) continue;
          if (first || !runs)
            offsets[segments++] = ((vertical.shift(ky) + top) * width + horizontal.shift(kx) + left) * z.o;
          first = false;
          for (int64_t g = 0; g < z.groups; ++g)
            for (int64_t o = 0; o < og; ++o)
              pack_row(a.w + (g * og + o) * z.ws[0] + ky * z.ws[2] + kx * z.ws[3], z.ws[1], cg, depth, tap * og + o,
                       packed + g * group_size);
          ++tap;
        }
      }
      const Segments k{offsets, segments, runs ? across * og : og};
      parallel_for(s, z.n, 1, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
          const T* src = a.dy + n * z.oh * z.ow * z.o;
          if (padded) {
            T* buffer = static_cast<T*>(Stream::thread_workspace(height * width * z.o * sizeof(T)));
            pad_rows(src, z.oh, z.ow, z.o, -top, z.oh + bottom, left, right, buffer);
            src = buffer;
          }
          for (int64_t g = 0; g < z.groups; ++g)
            slide(Slide<T>{src + g * og, width * z.o, z.o, k, packed + g * group_size, nullptr,
                           a.dx + ((n * z.h + vertical.phase) * z.w + horizontal.phase) * z.c + g * cg,
                           z.stride_h * z.w * z.c, z.stride_w * z.c, rows, pixels, cg});
        }
      });
    }
}

template <class T>
void scatter_data(Stream& s, const Conv2dBwdArgs<T>& a) {
  constexpr int W = kTileCols<T>;
  const ConvShape& z = a.s;
  const int64_t cg = z.c / z.groups, og = z.o / z.groups, taps = z.kh * z.kw;
  // B (og, taps cg) of each group: column (tap, c) of row o is w[o, c, tap].
  const int64_t columns = taps * cg, group_size = packed_size<T>(og, columns);
  T* packed = static_cast<T*>(s.workspace(z.groups * group_size * sizeof(T)));
  parallel_for(s, z.groups * og, 8192 / (columns + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t g = i / og, o = i % og;
      T* rows = packed + g * group_size;
      for (int64_t j = 0; j < columns; ++j)
        rows[(j / W * og + o) * W + j % W] =
            a.w[i * z.ws[0] + j % cg * z.ws[1] + j / cg / z.kw * z.ws[2] + j / cg % z.kw * z.ws[3]];
      for (int64_t j = columns; j % W != 0; ++j) rows[(j / W * og + o) * W + j % W] = T(0);
    }
  });
  // A few pixels of dy at a time, so that their pieces stay in the first-level cache.
  const int64_t step = even_rows(z.ow);
  const bool runs = z.groups == 1 && z.dilation_w == 1 && z.left == 0 && z.right == 0;
  parallel_for(s, z.n, 1, [&](int64_t begin, int64_t end) {
    T* pieces = static_cast<T*>(Stream::thread_workspace(step * columns * sizeof(T)));
    const int64_t zero = 0;
    for (int64_t n = begin; n < end; ++n) {
      T* dx = a.dx + n * z.h * z.w * z.c;
      for (int64_t i = 0; i < z.h * z.w * z.c; ++i) dx[i] = T(0);
      for (int64_t g = 0; g < z.groups; ++g)
        for (int64_t oy = 0; oy < z.oh; ++oy)
          for (int64_t q = 0; q < z.ow; q += step) {
            const int rows = static_cast<int>(z.ow - q < step ? z.ow - q : step);
            for (int64_t p = 0; p < columns; p += W)
              run_tile(Tile<T>{a.dy + ((n * z.oh + oy) * z.ow + q) * z.o + g * og,
                               z.o,
                               ALayout::rows,
                               {&zero, 1, og},
                               packed + g * group_size + p * og,
                               W,
                               pieces + p,
                               columns,
                               rows,
                               static_cast<int>(columns - p < W ? columns - p : W),
                               false,
                               true,
                               nullptr});
            for (int64_t i = 0; i < rows; ++i)
              for (int64_t ky = 0; ky < z.kh; ++ky) {
                const int64_t iy = oy * z.stride_h - z.top + ky * z.dilation_h;
                if (iy < 0 || iy >= z.h) continue;
                const T* from = pieces + i * columns + ky * z.kw * cg;
                const int64_t ix = (q + i) * z.stride_w - z.left;
                T* to = dx + (iy * z.w + ix) * z.c + g * cg;
                const auto add = [](T* y, const T* x, int64_t count) {
                  for_vec<T>(0, count, [&](auto at) { at.store(y, at.load(y) + at.load(x)); });
                };
                if (runs) {
                  add(to, from, z.kw * z.c);
                  continue;
                }
                for (int64_t kx = 0; kx < z.kw; ++kx)
                  if (const int64_t x = ix + kx * z.dilation_w; x >= 0 && x < z.w)
                    add(to + kx * z.dilation_w * z.c, from + kx * cg, cg);
              }
          }
    }
  });
}

template <class T>
void conv2d_bwd_data(Stream& s, const Conv2dBwdArgs<T>& a) {
  constexpr int64_t N = Vec<T>::N;
  const ConvShape& z = a.s;
  const int64_t cg = z.c / z.groups, og = z.o / z.groups;
  const auto lanes = [](int64_t n) { return (n + N - 1) / N * N; };
  // Multiply-adds of one image, over taps; a piece costs about as much as 8 of them to add.
  const int64_t gather = z.h * z.w / (z.stride_h * z.stride_w) * og * lanes(cg) * z.kh * z.kw;
  const int64_t scatter = z.oh * z.ow * (og + 8) * lanes(cg * z.kh * z.kw);
  gather <= scatter ? gather_data(s, a) : scatter_data(s, a);
}

// --- backward, weights --------------------------------------------------------------------

// dw as (kh, kw c, o): products of columns of windows with dy, image after image. Few
// columns would leave threads idle, so images are cut into chunks, whose number depends
// on the sizes alone, and whose sums are added up in order.
template <class T>
void conv2d_bwd_weight(Stream& s, const Conv2dBwdArgs<T>& a) {
  constexpr int W = kTileCols<T>;
  const ConvShape& z = a.s;
  const int64_t cg = z.c / z.groups, og = z.o / z.groups, taps = z.kh * z.kw;
  const int64_t size = taps * z.c * og;  // of one chunk's sums: (groups, kh, kw, cg, og)
  const int64_t chunks = size * static_cast<int64_t>(sizeof(T)) > (512 << 10) ? 1 : (z.n < 8 ? z.n : 8);
  const int64_t chunk = (z.n + chunks - 1) / chunks;
  const bool padded = z.top || z.left || z.bottom || z.right;
  const int64_t width = z.left + z.w + z.right, height = z.top + z.h + z.bottom, image = height * width * z.c;

  const int64_t partial_size = (chunks * size + 15) / 16 * 16;
  T* partial =
      static_cast<T*>(s.workspace((partial_size + (padded ? z.n * image : 0)) * sizeof(T) + z.oh * sizeof(int64_t)));
  T* padded_x = partial + partial_size;
  int64_t* offsets = reinterpret_cast<int64_t*>(padded_x + (padded ? z.n * image : 0));
  for (int64_t oy = 0; oy < z.oh; ++oy) offsets[oy] = oy * z.stride_h * width * z.c;
  if (padded)
    parallel_for(s, z.n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n)
        pad_rows(a.x + n * z.h * z.w * z.c, z.h, z.w, z.c, -z.top, z.h + z.bottom, z.left, z.right,
                 padded_x + n * image);
    });
  const T* x = padded ? padded_x : a.x;

  // Rows of a block: a whole kernel row where its pixels touch, else one tap of one group.
  const bool runs = z.groups == 1 && z.dilation_w == 1;
  const int64_t block_rows = runs ? z.kw * z.c : cg;
  const int64_t blocks = runs ? z.kh : z.groups * taps;
  const int step = even_rows(block_rows);
  parallel_for(s, chunks * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t part = i / blocks, block = i % blocks;
      const int64_t g = runs ? 0 : block / taps, ky = runs ? block : block % taps / z.kw, kx = runs ? 0 : block % z.kw;
      T* dst = partial + part * size + block * block_rows * og;
      const int64_t n1 = (part + 1) * chunk < z.n ? (part + 1) * chunk : z.n;
      if (part * chunk >= n1)
        for (int64_t j = 0; j < block_rows * og; ++j) dst[j] = T(0);
      for (int64_t n = part * chunk; n < n1; ++n) {
        const T* src = x + n * image + (ky * z.dilation_h * width + kx * z.dilation_w) * z.c + g * cg;
        for (int64_t p = 0; p < og; p += W)
          for (int64_t r = 0; r < block_rows; r += step) {
            Tile<T> t;
            t.a = src + r;
            t.lda = z.stride_w * z.c;
            t.layout = ALayout::columns;
            t.k = {offsets, z.oh, z.ow};
            t.b = a.dy + n * z.oh * z.ow * z.o + g * og + p;
            t.ldb = z.o;
            t.b_padded = false;
            t.c = dst + r * og + p;
            t.ldc = og;
            t.rows = static_cast<int>(block_rows - r < step ? block_rows - r : step);
            t.cols = static_cast<int>(og - p < W ? og - p : W);
            t.accumulate = n > part * chunk;
            t.bias = nullptr;
            run_tile(t);
          }
      }
    }
  });

  parallel_for(s, z.groups * taps, 16384 / (chunks * cg * og + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t g = i / taps, at = i % taps;
      T* dw = a.dw + g * og * z.ws[0] + at / z.kw * z.ws[2] + at % z.kw * z.ws[3];
      T* sums = partial + i * cg * og;
      column_sums(sums, chunks, size, sums, cg * og);
      for (int64_t c = 0; c < cg; ++c)
        for (int64_t o = 0; o < og; ++o) dw[o * z.ws[0] + c * z.ws[1]] = sums[c * og + o];
    }
  });
}

template <class T>
void conv2d_bwd(Stream& s, const Conv2dBwdArgs<T>& a) {
  if (a.db) chunked_column_sums(s, a.dy, a.s.n * a.s.oh * a.s.ow, a.s.o, a.db);
  if (a.dx) conv2d_bwd_data(s, a);
  if (a.dw) conv2d_bwd_weight(s, a);
}

#include "isa/instantiate.h"
#include "ops/conv2d/kernels.inc"

}  // namespace fnn::FNN_ISA
