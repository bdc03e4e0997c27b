// Winograd's F(4 x 4, 3 x 3): a tile of 4 x 4 outputs of a 3 x 3 kernel from 36 products a pair
// of channels instead of 144. Both are polynomials, evaluated at six points along each axis; a
// point of a product is the product of points, and those of all tiles are a matrix product.
// The points 0, 5/8, -5/8, 3/2, -3/2 and infinity lose a third of the digits that whole
// numbers lose, and their squares are exact.
#pragma once

#include "core/stream.h"
#include "ops/conv2d/tile.h"

namespace fnn::FNN_ISA {

// y (n, oh, ow, o) from x (n, h, w, c), of which y's first window begins at (-top, -left).
template <class T>
struct Winograd {
  int64_t n, h, w, c, oh, ow, o, top, left;
  const T* kernel;  // w[o, c, ky, kx] lies at o * ks[0] + c * ks[1] + ky * ks[2] + kx * ks[3]
  int64_t ks[4];
  const T* bias;  // (o) or null

  FNN_INLINE int64_t down() const { return (oh + 3) / 4; }  // tiles
  FNN_INLINE int64_t across() const { return (ow + 3) / 4; }
};

constexpr int64_t kWinogradChannels = 16, kWinogradTiles = 4;

// Whether the convolution `z` asks for it and gains by it: there are channels to pay for the
// points, tiles to pay for the kernel's, and at most half as many products as without it, 9 for
// each pixel of z's output. Images are padded, never cut, at their sides.
template <class T>
FNN_INLINE bool winograd_pays(const ConvShape& z, const Winograd<T>& a) {
  const int64_t tiles = a.down() * a.across();
  return z.winograd && z.groups == 1 && z.kh == 3 && z.kw == 3 && z.stride_h == 1 && z.stride_w == 1 &&
         z.dilation_h == 1 && z.dilation_w == 1 && a.c >= kWinogradChannels && a.o >= kWinogradChannels &&
         a.n * tiles >= kWinogradTiles && 2 * 36 * tiles <= 9 * z.oh * z.ow && a.left >= 0 &&
         a.left + a.w <= 4 * a.across() + 2;
}

template <class T>
FNN_INLINE Winograd<T> winograd_forward(const ConvShape& z, const T* w, const T* b) {
  return {z.n, z.h, z.w, z.c, z.oh, z.ow, z.o, z.top, z.left, w, {z.ws[0], z.ws[1], z.ws[2], z.ws[3]}, b};
}
// dx is the convolution of dz with the kernel turned round.
template <class T>
FNN_INLINE Winograd<T> winograd_backward(const ConvShape& z, const T* w) {
  const T* last = w ? w + 2 * z.ws[2] + 2 * z.ws[3] : nullptr;
  return {z.n,    z.oh, z.ow, z.o, z.h, z.w, z.c, 2 - z.top, 2 - z.left, last, {z.ws[1], z.ws[0], -z.ws[2], -z.ws[3]},
          nullptr};
}

// --- the polynomials, along one axis -----------------------------------------------------------

constexpr double kP = 0.625, kP2 = kP * kP, kQ = 1.5, kQ2 = kQ * kQ;

// Inputs.
template <class V>
FNN_INLINE void input_points(const V (&d)[6], V (&t)[6]) {
  const V p(kP), q(kQ), p2(kP2), q2(kQ2), pq(kP2 * kQ2), s(kP2 + kQ2);
  const V even_p = d[4] - q2 * d[2], odd_p = p * (d[3] - q2 * d[1]);
  const V even_q = d[4] - p2 * d[2], odd_q = q * (d[3] - p2 * d[1]);
  t[0] = pq * d[0] - s * d[2] + d[4];
  t[1] = even_p + odd_p;
  t[2] = even_p - odd_p;
  t[3] = even_q + odd_q;
  t[4] = even_q - odd_q;
  t[5] = pq * d[1] - s * d[3] + d[5];
}

// The kernel, with the denominators of interpolation.
template <class V>
FNN_INLINE void kernel_points(const V (&g)[3], V (&t)[6]) {
  const V p(kP), q(kQ), p2(kP2), q2(kQ2);
  const V at_p(1 / (2 * kP2 * (kP2 - kQ2))), at_q(1 / (2 * kQ2 * (kQ2 - kP2)));
  const V even_p = g[0] + p2 * g[2], odd_p = p * g[1], even_q = g[0] + q2 * g[2], odd_q = q * g[1];
  t[0] = V(1 / (kP2 * kQ2)) * g[0];
  t[1] = at_p * (even_p + odd_p);
  t[2] = at_p * (even_p - odd_p);
  t[3] = at_q * (even_q + odd_q);
  t[4] = at_q * (even_q - odd_q);
  t[5] = g[2];
}

// Outputs.
template <class V>
FNN_INLINE void outputs_of(const V (&m)[6], V (&y)[4]) {
  const V p(kP), q(kQ), p2(kP2), q2(kQ2), p3(kP2 * kP), q3(kQ2 * kQ);
  const V sum_p = m[1] + m[2], odd_p = m[1] - m[2], sum_q = m[3] + m[4], odd_q = m[3] - m[4];
  y[0] = m[0] + sum_p + sum_q;
  y[1] = p * odd_p + q * odd_q;
  y[2] = p2 * sum_p + q2 * sum_q;
  y[3] = p3 * odd_p + q3 * odd_q + m[5];
}

// The way back for the gradient of the kernel: outputs_of() and kernel_points() transposed.
template <class V>
FNN_INLINE void output_points(const V (&d)[4], V (&t)[6]) {
  const V p(kP), q(kQ), p2(kP2), q2(kQ2), p3(kP2 * kP), q3(kQ2 * kQ);
  const V even_p = d[0] + p2 * d[2], odd_p = p * d[1] + p3 * d[3];
  const V even_q = d[0] + q2 * d[2], odd_q = q * d[1] + q3 * d[3];
  t[0] = d[0];
  t[1] = even_p + odd_p;
  t[2] = even_p - odd_p;
  t[3] = even_q + odd_q;
  t[4] = even_q - odd_q;
  t[5] = d[3];
}
template <class V>
FNN_INLINE void kernel_of(const V (&m)[6], V (&g)[3]) {
  const V at_p(1 / (2 * kP2 * (kP2 - kQ2))), at_q(1 / (2 * kQ2 * (kQ2 - kP2)));
  const V sum_p = at_p * (m[1] + m[2]), odd_p = at_p * (m[1] - m[2]);
  const V sum_q = at_q * (m[3] + m[4]), odd_q = at_q * (m[3] - m[4]);
  g[0] = V(1 / (kP2 * kQ2)) * m[0] + sum_p + sum_q;
  g[1] = V(kP) * odd_p + V(kQ) * odd_q;
  g[2] = V(kP2) * sum_p + V(kQ2) * sum_q + m[5];
}

// Both axes: to[i][j] = f along columns, then rows, of from(i, j).
template <class T, int In, int Out, class From, class F, class To>
FNN_INLINE void both_axes(const From& from, const F& f, const To& to) {
  Vec<T> half[Out][In];
  for (int j = 0; j < In; ++j) {
    Vec<T> column[In], points[Out];
#pragma GCC unroll 6
    for (int i = 0; i < In; ++i) column[i] = from(i, j);
    f(column, points);
#pragma GCC unroll 6
    for (int i = 0; i < Out; ++i) half[i][j] = points[i];
  }
  for (int i = 0; i < Out; ++i) {
    Vec<T> points[Out];
    f(half[i], points);
#pragma GCC unroll 6
    for (int j = 0; j < Out; ++j) to(i, j, points[j]);
  }
}

// --- the products ------------------------------------------------------------------------------

constexpr int kPoints = 36;

// Numbers from one point's matrix to the next: never a power of two apart.
FNN_INLINE int64_t point_step(int64_t numbers) { return (numbers / 16 | 1) * 16 + 16; }

// The kernel's points, each a matrix (c, o) in panels (pack.h).
template <class T>
void pack_points(Stream& s, const Winograd<T>& a, T* packed, int64_t step) {
  constexpr int W = kTileCols<T>, N = Vec<T>::N;
  parallel_for(s, a.c, 2048 / a.o + 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      for (int64_t o = 0; o < (a.o + W - 1) / W * W; o += N) {
        T g[9][N];
        for (int64_t l = 0; l < N; ++l)
          for (int64_t i = 0; i < 9; ++i)
            g[i][l] =
                o + l < a.o ? a.kernel[(o + l) * a.ks[0] + c * a.ks[1] + i / 3 * a.ks[2] + i % 3 * a.ks[3]] : T(0);
        T* to = packed + (o / W * a.c + c) * W + o % W;
        both_axes<T, 3, 6>([&](int i, int j) { return Vec<T>::load(g[3 * i + j]); },
                           [](const Vec<T>(&from)[3], Vec<T>(&points)[6]) { kernel_points(from, points); },
                           [&](int i, int j, Vec<T> v) { v.store(to + (6 * i + j) * step); });
      }
  });
}

// `rows` rows from y0 on of image n (h, w, c), padded. source(n, begin, end, scratch) is where
// its rows [begin, end) are, or makes them in scratch (8, w, c); begin is even, and end even or h.
template <class T, class Source>
void padded_rows(const Source& source, int64_t n, int64_t h, int64_t w, int64_t c, int64_t y0, int64_t rows,
                 int64_t left, int64_t right, T* scratch, T* out) {
  const int64_t begin = y0 < 0 ? 0 : y0 / 2 * 2, even = (y0 + rows + 1) / 2 * 2, end = even < h ? even : h;
  const T* x = begin < end ? source(n, begin, end, scratch) : nullptr;
  pad_rows(x, begin < end ? end - begin : 0, w, c, y0 - begin, y0 - begin + rows, left, right, out);
}

// The points of a row of tiles of x, each a matrix (tiles, c) with `pixel` numbers a tile.
template <class T, class Source>
void input_tiles(const Winograd<T>& a, const Source& source, int64_t n, int64_t ty, T* scratch, T* to, int64_t pixel,
                 int64_t step) {
  const int64_t width = 4 * a.across() + 2;
  T* strip = scratch + 8 * a.w * a.c;
  padded_rows(source, n, a.h, a.w, a.c, 4 * ty - a.top, 6, a.left, width - a.left - a.w, scratch, strip);
  for (int64_t tile = 0; tile < a.across(); ++tile, to += pixel, strip += 4 * a.c)
    for_vec<T>(0, a.c, [&](auto v) {
      both_axes<T, 6, 6>([&](int i, int j) { return v.load(strip + (i * width + j) * a.c); },
                         [](const Vec<T>(&d)[6], Vec<T>(&t)[6]) { input_points(d, t); },
                         [&](int i, int j, Vec<T> t) { v.store(to + (6 * i + j) * step, t); });
    });
}
template <class T>
FNN_INLINE int64_t input_scratch(const Winograd<T>& a) {
  return (8 * a.w + 6 * (4 * a.across() + 2)) * a.c;
}

// sink(n, y, x, z) takes the outputs z (4, 4, o) at (4 y, 4 x) of image n. Every sum is over
// one channel after the other, however tiles are shared out.
template <class T, class Source, class Sink>
void winograd(Stream& s, const Winograd<T>& a, const Source& source, const Sink& sink) {
  // A task is some rows of tiles: their points stay in the second-level cache, but there are
  // enough of them for the kernel's, which come from further away.
  constexpr int64_t kTiles = 48;
  const int64_t down = a.down(), across = a.across(), rows = a.n * down;
  const int64_t fit = across < kTiles ? kTiles / across : 1, wanted = (rows + fit - 1) / fit;
  const int64_t tasks = (wanted + s.threads - 1) / s.threads * s.threads, block = (rows + tasks - 1) / tasks;

  const int64_t kernel_step = point_step(packed_size<T>(a.c, a.o));
  T* packed = static_cast<T*>(s.workspace(static_cast<size_t>(kPoints * kernel_step) * sizeof(T)));
  pack_points(s, a, packed, kernel_step);

  const int64_t in_step = point_step(block * across * a.c), out_step = point_step(block * across * a.o), zero = 0;
  parallel_for(s, rows, block, [&](int64_t begin, int64_t end) {
    T* in = static_cast<T*>(Stream::thread_workspace(
        static_cast<size_t>(kPoints * (in_step + out_step) + 16 * a.o + input_scratch(a)) * sizeof(T)));
    T *out = in + kPoints * in_step, *z = out + kPoints * out_step, *scratch = z + 16 * a.o;
    const int64_t tiles = (end - begin) * across;
    for (int64_t r = begin; r < end; ++r)
      input_tiles(a, source, r / down, r % down, scratch, in + (r - begin) * across * a.c, a.c, in_step);
    for (int64_t i = 0; i < kPoints; ++i)
      slide(Slide<T>{in + i * in_step,
                     0,
                     a.c,
                     {&zero, 1, a.c},
                     packed + i * kernel_step,
                     nullptr,
                     out + i * out_step,
                     0,
                     a.o,
                     1,
                     tiles,
                     a.o});
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const T* from = out + tile * a.o;
      for_vec<T>(0, a.o, [&](auto v) {
        const Vec<T> bias = a.bias ? v.load(a.bias) : Vec<T>(0);
        both_axes<T, 6, 4>([&](int i, int j) { return v.load(from + (6 * i + j) * out_step); },
                           [](const Vec<T>(&m)[6], Vec<T>(&y)[4]) { outputs_of(m, y); },
                           [&](int i, int j, Vec<T> y) { v.store(z + (4 * i + j) * a.o, y + bias); });
      });
      const int64_t row = begin + tile / across;
      sink(row / down, row % down, tile % across, z);
    }
  });
}

// The gradient of the kernel, dw in the strides a.ks, from the x and dz of two sources. Its
// points are sums over tiles, some at a time and always in order; threads share the points.
template <class T, class Source, class Gradient>
void winograd_weight(Stream& s, const Winograd<T>& a, const Source& source, const Gradient& gradient, T* dw) {
  constexpr int64_t kTiles = 128;
  constexpr int W = kTileCols<T>, N = Vec<T>::N;
  const int64_t down = a.down(), across = a.across(), rows = a.n * down, panels = (a.o + W - 1) / W;
  const int64_t fit = across < kTiles ? kTiles / across : 1, block = fit < rows ? fit : rows, zero = 0;
  const int64_t pixel = (a.c / 16 | 1) * 16 + 16, in_step = point_step(block * across * pixel);
  const int64_t panel = block * across * W, out_step = point_step(panels * panel), sum_step = point_step(a.c * a.o);
  T* in = static_cast<T*>(s.workspace(static_cast<size_t>(kPoints * (in_step + out_step + sum_step)) * sizeof(T)));
  T *out = in + kPoints * in_step, *sum = out + kPoints * out_step;

  for (int64_t first = 0; first < rows; first += block) {
    const int64_t count = rows - first < block ? rows - first : block;
    parallel_for(s, count, 1, [&](int64_t begin, int64_t end) {
      const int64_t width = 4 * across, own = (8 * a.ow + 4 * width) * a.o;
      const int64_t size = input_scratch(a) > own ? input_scratch(a) : own;
      T* scratch = static_cast<T*>(Stream::thread_workspace(static_cast<size_t>(size) * sizeof(T)));
      for (int64_t r = begin; r < end; ++r) {
        const int64_t n = (first + r) / down, ty = (first + r) % down;
        input_tiles(a, source, n, ty, scratch, in + r * across * pixel, pixel, in_step);
        const T* strip = scratch + 8 * a.ow * a.o;
        padded_rows(gradient, n, a.oh, a.ow, a.o, 4 * ty, 4, 0, width - a.ow, scratch, scratch + 8 * a.ow * a.o);
        for (int64_t tile = 0; tile < across; ++tile, strip += 4 * a.o)
          for_vec<T>(0, a.o, [&](auto v) {
            T* to = out + v.i / W * panel + (r * across + tile) * W + v.i % W;
            both_axes<T, 4, 6>([&](int i, int j) { return v.load(strip + (i * width + j) * a.o); },
                               [](const Vec<T>(&d)[4], Vec<T>(&t)[6]) { output_points(d, t); },
                               [&](int i, int j, Vec<T> t) { t.store(to + (6 * i + j) * out_step); });
          });
      }
    });
    parallel_for(s, kPoints * panels, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t point = i / panels, p = i % panels;
        Tile<T> t;
        t.a = in + point * in_step;
        t.lda = pixel;
        t.layout = ALayout::columns;
        t.k = {&zero, 1, count * across};
        t.b = out + point * out_step + p * panel;
        t.ldb = W;
        t.b_padded = true;
        t.c = sum + point * sum_step + p * W;
        t.ldc = a.o;
        t.cols = static_cast<int>(a.o - p * W < W ? a.o - p * W : W);
        t.accumulate = first > 0;
        t.bias = nullptr;
        const int step = even_rows(a.c, most_rows<T>(t.cols));
        t.a_step = step;
        t.c_step = step * a.o;
        run_tiles(t, a.c, step);
      }
    });
  }
  parallel_for(s, a.c, 2048 / a.o + 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      for_vec<T>(0, a.o, [&](auto v) {
        both_axes<T, 6, 3>([&](int i, int j) { return v.load(sum + (6 * i + j) * sum_step + c * a.o); },
                           [](const Vec<T>(&m)[6], Vec<T>(&g)[3]) { kernel_of(m, g); },
                           [&](int i, int j, Vec<T> g) {
                             T lane[N];
                             g.store(lane);
                             T* to = dw + v.i * a.ks[0] + c * a.ks[1] + i * a.ks[2] + j * a.ks[3];
                             for (int l = 0; l < v.count(); ++l) to[l * a.ks[0]] = lane[l];
                           });
      });
  });
}

}  // namespace fnn::FNN_ISA
