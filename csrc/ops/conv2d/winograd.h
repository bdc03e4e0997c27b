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

constexpr int64_t kWinogradChannels = 32, kWinogradTiles = 32;

// Whether the convolution `z` asks for it and gains by it: there are channels to pay for the
// points, tiles to pay for the kernel's, and no more than a third of the outputs too many.
// Images are padded, never cut, at their sides.
template <class T>
FNN_INLINE bool winograd_pays(const ConvShape& z, const Winograd<T>& a) {
  const int64_t tiles = a.down() * a.across();
  return z.winograd && z.groups == 1 && z.kh == 3 && z.kw == 3 && z.stride_h == 1 && z.stride_w == 1 &&
         z.dilation_h == 1 && z.dilation_w == 1 && a.c >= kWinogradChannels && a.o >= kWinogradChannels &&
         a.n * tiles >= kWinogradTiles && 3 * 16 * tiles <= 4 * a.oh * a.ow && a.left >= 0 &&
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

// source(n, images, scratch) is x of some images, which may be made in scratch (images, h, w, c)
// where `made`; sink(n, y, x, z) takes the outputs z (4, 4, o) at (4 y, 4 x) of image n. Every
// sum is over one channel after the other, however tiles are shared out.
template <class T, class Source, class Sink>
void winograd(Stream& s, const Winograd<T>& a, bool made, const Source& source, const Sink& sink) {
  // A task is some rows of tiles, or whole images: points in the second-level cache, but
  // enough of them for the kernel's, which come from further away.
  constexpr int64_t kTiles = 48;
  const int64_t down = a.down(), across = a.across(), rows = a.n * down;
  const int64_t fit = across < kTiles ? kTiles / across : 1, wanted = (rows + fit - 1) / fit;
  const int64_t tasks = (wanted + s.threads - 1) / s.threads * s.threads, block = (rows + tasks - 1) / tasks;
  const int64_t per_task = made ? (block + down - 1) / down * down : block;

  const int64_t kernel_step = point_step(packed_size<T>(a.c, a.o));
  T* packed = static_cast<T*>(s.workspace(static_cast<size_t>(kPoints * kernel_step) * sizeof(T)));
  pack_points(s, a, packed, kernel_step);

  const int64_t in_step = point_step(block * across * a.c), out_step = point_step(block * across * a.o);
  const int64_t width = 4 * across + 2, strip_size = 6 * width * a.c;
  const int64_t images = made ? per_task / down : 0, size = a.h * a.w * a.c, zero = 0;
  parallel_for(s, rows, per_task, [&](int64_t begin, int64_t end) {
    T* in = static_cast<T*>(Stream::thread_workspace(
        static_cast<size_t>(kPoints * (in_step + out_step) + strip_size + 16 * a.o + images * size) * sizeof(T)));
    T *out = in + kPoints * in_step, *strip = out + kPoints * out_step, *z = strip + strip_size;
    const int64_t first = begin / down;
    const T* x = source(first, (end - 1) / down + 1 - first, z + 16 * a.o);

    for (int64_t at = begin; at < end; at += block) {
      const int64_t count = end - at < block ? end - at : block;
      for (int64_t r = 0; r < count; ++r) {
        const int64_t n = (at + r) / down, y0 = (at + r) % down * 4 - a.top;
        pad_rows(x + (n - first) * size, a.h, a.w, a.c, y0, y0 + 6, a.left, width - a.left - a.w, strip);
        for (int64_t tile = 0; tile < across; ++tile) {
          const T* from = strip + 4 * tile * a.c;
          T* to = in + (r * across + tile) * a.c;
          for_vec<T>(0, a.c, [&](auto v) {
            both_axes<T, 6, 6>([&](int i, int j) { return v.load(from + (i * width + j) * a.c); },
                               [](const Vec<T>(&d)[6], Vec<T>(&t)[6]) { input_points(d, t); },
                               [&](int i, int j, Vec<T> t) { v.store(to + (6 * i + j) * in_step, t); });
          });
        }
      }
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
                       count * across,
                       a.o});
      for (int64_t tile = 0; tile < count * across; ++tile) {
        const T* from = out + tile * a.o;
        for_vec<T>(0, a.o, [&](auto v) {
          const Vec<T> bias = a.bias ? v.load(a.bias) : Vec<T>(0);
          both_axes<T, 6, 4>([&](int i, int j) { return v.load(from + (6 * i + j) * out_step); },
                             [](const Vec<T>(&m)[6], Vec<T>(&y)[4]) { outputs_of(m, y); },
                             [&](int i, int j, Vec<T> y) { v.store(z + (4 * i + j) * a.o, y + bias); });
        });
        sink((at + tile / across) / down, (at + tile / across) % down, tile % across, z);
      }
    }
  });
}

}  // namespace fnn::FNN_ISA
