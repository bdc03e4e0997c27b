// What Vec<T> (simd/vec.h) is to a CPU's core, for one thread of a GPU: the numbers that it
// loads and stores at once, 16 bytes of T. Formulas are written for Vec<T> or a plain T.
#pragma once

#include <cstdint>

#include "core/inline.h"

namespace fnn::cuda {

template <class T, int Count = 16 / static_cast<int>(sizeof(T))>
struct alignas(Count * sizeof(T) < 16 ? Count * sizeof(T) : 16) Pack {
  static constexpr int N = Count;
  using Scalar = T;
  using Mask = Pack<bool, N>;

  T v[N];

  Pack() = default;
  template <class S, class = decltype(T(S()))>
  FNN_INLINE explicit Pack(S s) {
    for (int i = 0; i < N; ++i) v[i] = T(s);
  }
};

template <class T>
using Vec = Pack<T>;

#define FNN_PACK_OPERATOR(Result, op)                                         \
  template <class T, int N>                                                   \
  FNN_INLINE Pack<Result, N> operator op(Pack<T, N> a, const Pack<T, N>& b) { \
    Pack<Result, N> y;                                                        \
    for (int i = 0; i < N; ++i) y.v[i] = a.v[i] op b.v[i];                    \
    return y;                                                                 \
  }
FNN_PACK_OPERATOR(T, +)
FNN_PACK_OPERATOR(T, -)
FNN_PACK_OPERATOR(T, *)
FNN_PACK_OPERATOR(T, /)
FNN_PACK_OPERATOR(T, &)
FNN_PACK_OPERATOR(T, |)
FNN_PACK_OPERATOR(bool, <)
FNN_PACK_OPERATOR(bool, >)
FNN_PACK_OPERATOR(bool, <=)
FNN_PACK_OPERATOR(bool, >=)
FNN_PACK_OPERATOR(bool, ==)
FNN_PACK_OPERATOR(bool, !=)
#undef FNN_PACK_OPERATOR

template <class T, int N>
FNN_INLINE Pack<T, N> operator-(Pack<T, N> a) {
  for (int i = 0; i < N; ++i) a.v[i] = -a.v[i];
  return a;
}
template <class T, int N>
FNN_INLINE Pack<T, N>& operator+=(Pack<T, N>& a, const Pack<T, N>& b) {
  return a = a + b;
}

template <class T, int N>
FNN_INLINE Pack<T, N> select(Pack<bool, N> m, const Pack<T, N>& a, const Pack<T, N>& b) {
  Pack<T, N> y;
  for (int i = 0; i < N; ++i) y.v[i] = m.v[i] ? a.v[i] : b.v[i];
  return y;
}
template <class T>
FNN_INLINE T select(bool m, T a, T b) {
  return m ? a : b;
}

// f of every number.
template <class T, int N, class F>
FNN_INLINE auto each(const Pack<T, N>& x, const F& f) {
  Pack<decltype(f(x.v[0])), N> y;
  for (int i = 0; i < N; ++i) y.v[i] = f(x.v[i]);
  return y;
}

template <class T, int N, class F>
FNN_INLINE auto each(const Pack<T, N>& x, const Pack<T, N>& z, const F& f) {
  Pack<decltype(f(x.v[0], z.v[0])), N> y;
  for (int i = 0; i < N; ++i) y.v[i] = f(x.v[i], z.v[i]);
  return y;
}

// Where an elementwise loop stands: the `count` numbers from i on, N but at the end.
template <int N>
struct PackAt {
  int64_t i;
  int n;

  template <class T>
  __device__ Pack<T, N> load(const T* p) const {
    Pack<T, N> x;
    if (whole(p + i)) return *reinterpret_cast<const Pack<T, N>*>(p + i);
    for (int j = 0; j < N; ++j) x.v[j] = j < n ? p[i + j] : T(0);
    return x;
  }
  template <class T>
  __device__ void store(T* p, const Pack<T, N>& x) const {
    if (whole(p + i)) {
      *reinterpret_cast<Pack<T, N>*>(p + i) = x;
      return;
    }
    for (int j = 0; j < N; ++j)
      if (j < n) p[i + j] = x.v[j];
  }
  __device__ int count() const { return n; }

 private:
  // Views begin anywhere.
  template <class T>
  __device__ bool whole(const T* p) const {
    return n == N && reinterpret_cast<uintptr_t>(p) % alignof(Pack<T, N>) == 0;
  }
};

}  // namespace fnn::cuda
