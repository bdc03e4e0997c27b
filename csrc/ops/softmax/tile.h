// One row of a softmax: its maximum and the sum of exp(x - max).
#pragma once

#include "simd/math.h"

namespace fnn::FNN_ISA {

template <class T>
struct SoftmaxRow {
  T max, sum;
};

// The larger; NaN wins.
template <class V>
FNN_INLINE V larger(V x, V best) {
  return select((x > best) | (x != x), x, best);
}

// Keeps the exponentials in e (n), where that is not null.
template <class T>
FNN_INLINE SoftmaxRow<T> softmax_row(const T* x, int64_t n, T* e) {
  constexpr int N = Vec<T>::N;
  T top = x[0];
  if (n >= N) {
    Vec<T> tops = Vec<T>::load(x + n - N);
    for (int64_t i = 0; i + N <= n; i += N) tops = larger(Vec<T>::load(x + i), tops);
    T lane[N];
    tops.store(lane);
    for (int half = N / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) lane[i] = larger(lane[i + half], lane[i]);
    top = lane[0];
  } else {
    for (int64_t i = 1; i < n; ++i) top = larger(x[i], top);
  }
  Vec<T> total(0);
  const Vec<T> shift(top);
  for_vec<T>(0, n, [&](auto at) {
    const Vec<T> p = exp(at.load(x) - shift);
    if (e) at.store(e, p);
    total += at.count() < N ? first_lanes(p, at.count()) : p;
  });
  return {top, sum(total)};
}

}  // namespace fnn::FNN_ISA
