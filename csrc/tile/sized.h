// A register tile of fixed size around its multiplication: where the sums start and go.
#pragma once

#include "tile/tile.h"

namespace fnn::FNN_ISA {

// multiply(acc, tail) adds the products to the sums; `tail` columns of the last vector exist.
template <class T, int MR, int NV, class Multiply>
FNN_INLINE void compute_tile(const TileOutput<T>& t, T* c, const Multiply& multiply) {
  constexpr int N = Vec<T>::N;
  const int tail = t.cols - (NV - 1) * N;
  Vec<T> acc[MR][NV];
  const auto load = [&](const T* p, int j) {
    return j == NV - 1 && tail != N ? Vec<T>::load(p + j * N, tail) : Vec<T>::load(p + j * N);
  };
  const Vec<T> zero(0);
#pragma GCC unroll 4
  for (int j = 0; j < NV; ++j) {
    const Vec<T> start = t.bias && !t.accumulate ? load(t.bias, j) : zero;
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) acc[i][j] = start;
  }
  for (int i = 0; i < MR; ++i)  // C is written at the end, and has come from afar by then
    for (int j = 0; j < NV * N; j += 64 / sizeof(T)) __builtin_prefetch(c + i * t.ldc + j, 1);
  multiply(acc, tail);
  if (t.descent) {
    const Vec<T> rate(t.descent->rate), decay(t.descent->decay);
    if (t.descent->decay != T(0)) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) acc[i][j] += decay * load(c + i * t.ldc, j);
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] = load(c + i * t.ldc, j) - rate * acc[i][j];
  } else if (t.accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] += load(c + i * t.ldc, j);
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j)
      if (j == NV - 1 && tail != N)
        acc[i][j].store(c + i * t.ldc + j * N, tail);
      else
        acc[i][j].store(c + i * t.ldc + j * N);
}

}  // namespace fnn::FNN_ISA
