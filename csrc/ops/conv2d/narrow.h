// Sliding where the channels that come out are too few to fill vectors: the lanes go over
// the numbers of a window instead, a run of neighbours for each of its rows, and are added
// up at the end.
#pragma once

#include "ops/conv2d/tile.h"

namespace fnn::FNN_ISA {

constexpr int kNarrow = 3;  // channels at once

// Pixels at once: a power of two, so that halves of it are left over at the end of a row.
constexpr int narrow_pixels(int channels) {
  int pixels = 1;
  while (2 * pixels * channels <= kMaxRows * kMaxVecs) pixels *= 2;
  return pixels;
}

// Number k of a window from all channels' kernels, `stride` apart. The last number of a run
// fills its vector with zeros.
template <class T>
FNN_INLINE void pack_narrow(const T* w, int64_t stride, int64_t channels, const Segments& k, int64_t at, T* packed) {
  const int64_t whole = whole_vectors<T>(k.length), in_run = at % k.length;
  packed += at / k.length * whole;
  for (int64_t c = 0; c < channels; ++c, packed += k.count * whole) {
    packed[in_run] = w[c * stride];
    if (in_run == k.length - 1)
      for (int64_t i = k.length; i < whole; ++i) packed[i] = T(0);
  }
}

// Lane i of the result is the sum of r[i]'s lanes. Each round adds the halves of the rows i
// and i + half to each other, their lanes taking turns.
template <class T>
FNN_INLINE Vec<T> sums_of(Vec<T> (&r)[Vec<T>::N]) {
  constexpr int N = Vec<T>::N, L = kInterleaved<T>;
  if constexpr (N > L) {
#pragma GCC unroll 8
    for (int i = 0; i < L; ++i) {
      exchange_halves(r[i], r[i + L]);
      r[i] += r[i + L];
    }
  }
#pragma GCC unroll 4
  for (int half = L / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) {
      Vec<T> low, high;
      zip<L>(r[i], r[i + half], low, high);
      r[i] = low + high;
    }
  return r[0];
}

// dst[i * dst_pixel + j] = sum over k of src[i * src_pixel + k] w[j, k] for P pixels and C
// channels; the rows of w (channels, w_row) hold every run of k in whole vectors.
template <class T, int P, int C>
void narrow_tile(const T* src, int64_t src_pixel, const Segments& k, const T* w, int64_t w_row, T* dst,
                 int64_t dst_pixel) {
  constexpr int N = Vec<T>::N, kFolds = (P * C + N - 1) / N;
  Vec<T> acc[kFolds * N];
#pragma GCC unroll 32
  for (auto& a : acc) a = Vec<T>(0);
  for (int64_t s = 0; s < k.count; ++s) {
    const T* from[(P + 2) / 3];  // of every third pixel, as in multiply_tile()
#pragma GCC unroll 8
    for (int i = 0; i < (P + 2) / 3; ++i) {
      from[i] = src + k.offset[s] + 3 * i * src_pixel;
      asm("" : "+r"(from[i]));
    }
    for_vec<T>(0, k.length, [&](auto at) {
      Vec<T> row[C];
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) row[j] = Vec<T>::load(w + j * w_row + at.i);
#pragma GCC unroll 16
      for (int i = 0; i < P; ++i) {
        const Vec<T> x = at.load(from[i / 3] + (i % 3) * src_pixel);
#pragma GCC unroll 4
        for (int j = 0; j < C; ++j) acc[i * C + j] = fma(x, row[j], acc[i * C + j]);
      }
    });
    w += whole_vectors<T>(k.length);
  }
  alignas(kVecBytes) T sums[kFolds * N];
#pragma GCC unroll 16
  for (int f = 0; f < kFolds; ++f) {
    Vec<T> rows[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) rows[i] = acc[f * N + i];
    sums_of(rows).store(sums + f * N);
  }
#pragma GCC unroll 16
  for (int i = 0; i < P; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) dst[i * dst_pixel + j] = sums[i * C + j];
}

// Pixels [q, a.pixels) of output row r and channels [c, c + C).
template <class T, int P, int C>
void narrow_row(const Slide<T>& a, int64_t r, int64_t c, int64_t q, int64_t w_row) {
  for (; q + P <= a.pixels; q += P)
    narrow_tile<T, P, C>(a.src + r * a.src_row + q * a.src_pixel, a.src_pixel, a.k, a.packed + c * w_row, w_row,
                         a.dst + r * a.dst_row + q * a.dst_pixel + c, a.dst_pixel);
  if constexpr (P > 1) narrow_row<T, P / 2, C>(a, r, c, q, w_row);
}

template <class T, int C>
void narrow_channels(const Slide<T>& a, int64_t c, int64_t w_row) {
  if constexpr (C > 1)
    if (a.channels - c < C) return narrow_channels<T, C - 1>(a, c, w_row);
  for (int64_t r = 0; r < a.rows; ++r) narrow_row<T, narrow_pixels(C), C>(a, r, c, 0, w_row);
}

// As slide(), without a bias, for packed (channels, runs of k in whole vectors).
template <class T>
void slide_narrow(const Slide<T>& a) {
  const int64_t w_row = a.k.count * whole_vectors<T>(a.k.length);
  for (int64_t c = 0; c < a.channels; c += kNarrow) narrow_channels<T, kNarrow>(a, c, w_row);
}

}  // namespace fnn::FNN_ISA
