// One row of a softmax: its maximum and the sum of exp(x - max).
#pragma once

#include "simd/math.h"

namespace fnn::FNN_ISA {

template <class T>
struct SoftmaxRow {
  T max, sum;
};

template <class T>
FNN_INLINE SoftmaxRow<T> softmax_row(const T* x, int64_t n) {
  Vec<T> tops(x[0]);
  T top = x[0];
  const auto larger = [](auto v, auto best) { return select((v > best) | (v != v), v, best); };  // NaN wins
  int64_t i = 0;
  for (; i + Vec<T>::N <= n; i += Vec<T>::N) tops = larger(Vec<T>::load(x + i), tops);
  for (int j = 0; j < Vec<T>::N; ++j) top = larger(T(tops.v[j]), top);
  for (; i < n; ++i) top = larger(x[i], top);
  Vec<T> total(0);
  const Vec<T> shift(top);
  for_vec<T>(0, n, [&](auto at) {
    Vec<T> e = exp(at.load(x) - shift);
    if (at.count() < Vec<T>::N) {  // the lanes beyond the row count nothing
      T lane[Vec<T>::N];
      e.store(lane);
      e = Vec<T>::load(lane, at.count());
    }
    total += e;
  });
  return {top, sum(total)};
}

}  // namespace fnn::FNN_ISA
