// What follows a convolution before its result is written, and the way back.
#pragma once

#include "ops/conv2d/gather.cuh"
#include "ops/pool/tile.h"
#include "ops/unary/tile.h"

namespace fnn::cuda {

template <class V>
__device__ V activate(const ConvTail& tail, V z) {
  if (tail.has_activation) with_fusible(tail.activation, [&](auto f) { z = f.value(z, V(0), V(0)); });
  return z;
}

// The activation's slope where it gave y.
template <class V>
__device__ V slope(const ConvTail& tail, V y) {
  V slope(1);
  with_fusible(tail.activation, [&](auto f) { slope = f.slope(y, V(0), V(0)); });
  return slope;
}

// dz as a Map, made from what is kept of a tail while it is read.
template <class T>
struct Gradient {
  struct Pixel {
    int64_t at;  // of its first channel in dy; below 0 where dz is 0
    int cell;
  };
  const T* dy;
  const T* y;
  const uint8_t* cell;
  ConvTail tail;
  int height, width;  // of dz
  int64_t channels;

  explicit Gradient(const Conv2dBwdArgs<T>& a)
      : dy(a.dy),
        y(a.y),
        cell(a.cell),
        tail(a.tail),
        height(static_cast<int>(a.s.oh)),
        width(static_cast<int>(a.s.ow)),
        channels(a.s.o) {}

  __device__ Pixel at(int64_t n, int py, int px) const {
    const int rows = tail.pool ? height / 2 : height, row = tail.pool ? width / 2 : width;
    const int qy = tail.pool ? py >> 1 : py, qx = tail.pool ? px >> 1 : px;
    const bool inside = static_cast<unsigned>(qy) < static_cast<unsigned>(rows) &&
                        static_cast<unsigned>(qx) < static_cast<unsigned>(row);
    return {inside ? ((n * rows + qy) * row + qx) * channels : -1, (py & 1) * 2 + (px & 1)};
  }
  template <int N>
  __device__ Pack<T, N> load(Pixel pixel, int channel) const {
    if (pixel.at < 0) return Pack<T, N>(0);
    const int64_t i = pixel.at + channel;
    Pack<T, N> g = *reinterpret_cast<const Pack<T, N>*>(dy + i);
    if (tail.has_activation) g = g * slope(tail, *reinterpret_cast<const Pack<T, N>*>(y + i));
    if (tail.pool) {
      const Pack<uint8_t, N> largest = *reinterpret_cast<const Pack<uint8_t, N>*>(cell + i);
      for (int j = 0; j < N; ++j) g.v[j] = largest.v[j] == pixel.cell ? g.v[j] : T(0);
    }
    return g;
  }
  bool in_packs() const {
    const uintptr_t all = reinterpret_cast<uintptr_t>(dy) | reinterpret_cast<uintptr_t>(y);
    return channels % Pack<T>::N == 0 && all % sizeof(Pack<T>) == 0 &&
           reinterpret_cast<uintptr_t>(cell) % Pack<T>::N == 0;
  }
};

// Where a gather's sums go: through bias and tail into y, or as they are into dx.
template <class T>
struct Outputs {
  T* y;           // (n, height, width, channels), or half of each side when pooled
  uint8_t* cell;  // as y, when pooled
  const T* b;     // (channels) or null
  ConvTail tail;
  int height, width;
  int64_t channels;

  bool in_packs() const {
    return channels % Pack<T>::N == 0 && reinterpret_cast<uintptr_t>(y) % sizeof(Pack<T>) == 0 &&
           reinterpret_cast<uintptr_t>(cell) % Pack<T>::N == 0;
  }

  // `count` channels from `channel` on of one output.
  template <int N>
  __device__ void store(int64_t n, int py, int px, int channel, int count, bool packs, const Pack<T, N>& z) const {
    put(y + ((n * height + py) * width + px) * channels + channel, count, packs,
        activate(tail, with_bias(channel, count, z)));
  }
  // The same of the pooled output (qy, qx), from the four of its window.
  template <int N>
  __device__ void store_pooled(int64_t n, int qy, int qx, int channel, int count, bool packs,
                               const Pack<T, N> (&z)[4]) const {
    Pack<T, N> best = activate(tail, with_bias(channel, count, z[0]));
    Pack<uint8_t, N> cells(0);
#pragma unroll
    for (int number = 1; number < 4; ++number) {
      const Pack<T, N> other = activate(tail, with_bias(channel, count, z[number]));
      for (int j = 0; j < N; ++j) {
        const bool better = is_larger(other.v[j], best.v[j]);
        best.v[j] = better ? other.v[j] : best.v[j];
        cells.v[j] = better ? static_cast<uint8_t>(number) : cells.v[j];
      }
    }
    const int64_t at = ((n * (height / 2) + qy) * (width / 2) + qx) * channels + channel;
    put(y + at, count, packs, best);
    put(cell + at, count, packs, cells);
  }

 private:
  template <int N>
  __device__ Pack<T, N> with_bias(int channel, int count, Pack<T, N> z) const {
    if (b)
      for (int j = 0; j < N; ++j)
        if (j < count) z.v[j] = z.v[j] + b[channel + j];
    return z;
  }
  template <class U, int N>
  static __device__ void put(U* p, int count, bool packs, const Pack<U, N>& v) {
    constexpr int kPiece = N < Pack<T>::N ? N : Pack<T>::N;
    if (packs && count == N) {
      for (int i = 0; i < N; i += kPiece) {
        Pack<U, kPiece> piece;
        for (int j = 0; j < kPiece; ++j) piece.v[j] = v.v[i + j];
        *reinterpret_cast<Pack<U, kPiece>*>(p + i) = piece;
      }
      return;
    }
    for (int j = 0; j < N; ++j)
      if (j < count) p[j] = v.v[j];
  }
};

}  // namespace fnn::cuda
