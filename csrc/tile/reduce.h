// Sums that come out the same for every number of threads: long dimensions are cut
// into chunks of a fixed size, whose sums are added up in order.
#pragma once

#include "core/stream.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

// Sum of n contiguous elements, in eight vectors that are then folded.
template <class T>
FNN_INLINE T row_sum(const T* x, int64_t n) {
  constexpr int kLanes = 8, N = Vec<T>::N;
  Vec<T> acc[kLanes];
  for (auto& v : acc) v = Vec<T>(0);
  int64_t i = 0;
  for (; i + kLanes * N <= n; i += kLanes * N)
    for (int j = 0; j < kLanes; ++j) acc[j] += Vec<T>::load(x + i + j * N);
  for (; i + N <= n; i += N) acc[0] += Vec<T>::load(x + i);
  if (i < n) acc[1] += Vec<T>::load(x + i, static_cast<int>(n - i));
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int j = 0; j < half; ++j) acc[j] += acc[j + half];
  return sum(acc[0]);
}

// y[i] = sum over rows r of x[r * stride + i], i in [0, n), on top of y when it accumulates.
template <class T>
void column_sums(const T* x, int64_t rows, int64_t stride, T* y, int64_t n, bool accumulate = false) {
  constexpr int N = Vec<T>::N;
  int64_t i = 0;
  for (; i + 4 * N <= n; i += 4 * N) {
    Vec<T> acc[4];
    for (int j = 0; j < 4; ++j) acc[j] = accumulate ? Vec<T>::load(y + i + j * N) : Vec<T>(0);
    for (int64_t r = 0; r < rows; ++r)
      for (int j = 0; j < 4; ++j) acc[j] += Vec<T>::load(x + r * stride + i + j * N);
    for (int j = 0; j < 4; ++j) acc[j].store(y + i + j * N);
  }
  for_vec<T>(i, n, [&](auto at) {
    Vec<T> acc = accumulate ? at.load(y) : Vec<T>(0);
    for (int64_t r = 0; r < rows; ++r) acc += at.load(x + r * stride);
    at.store(y, acc);
  });
}

}  // namespace fnn::FNN_ISA
