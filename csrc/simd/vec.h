// One vector type for every instruction set. Arithmetic comes from the compiler's
// vector extension; what it cannot say (square root, partial loads) is spelled here. The
// compiler may not contract a * b + c on its own, or the bits of a result would depend on
// what it was inlined into: fma(a, b, c) is one rounding where the processor has it.
// Formulas are written for a V that is a Vec<T> here and a plain T in a CUDA thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/inline.h"

#if defined(FNN_CUDA)
#include "cuda/math.cuh"
#else
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fnn::FNN_ISA {

// FNN_EMULATE_AVX512: the vectors and tiles of AVX-512, which the compiler takes apart for the
// processor at hand. Slow; for tests on machines that have no AVX-512. FNN_AVX512 and FNN_AVX2
// say whose intrinsics fit the vectors.
#if !defined(FNN_EMULATE_AVX512) && defined(__AVX512F__)
#define FNN_AVX512
#elif !defined(FNN_EMULATE_AVX512) && defined(__AVX2__)
#define FNN_AVX2
#endif
#if defined(FNN_AVX512) || defined(FNN_EMULATE_AVX512)
constexpr int kVecBytes = 64;
#elif defined(FNN_AVX2)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

template <class T>
struct IntOf;
template <>
struct IntOf<float> {
  using type = int32_t;
  using bits = uint32_t;
};
template <>
struct IntOf<double> {
  using type = int64_t;
  using bits = uint64_t;
};

template <class T>
struct Vec {
  static constexpr int N = kVecBytes / sizeof(T);
  using Scalar = T;
  using Int = typename IntOf<T>::type;
  typedef T Raw __attribute__((vector_size(kVecBytes)));
  typedef Int Mask __attribute__((vector_size(kVecBytes)));                      // lanes of 0 or -1
  typedef typename IntOf<T>::bits Bits __attribute__((vector_size(kVecBytes)));  // where arithmetic may wrap around

  Raw v;

  Vec() = default;
  FNN_INLINE Vec(Raw raw) : v(raw) {}
  template <class S, class = decltype(T(S()))>
  FNN_INLINE explicit Vec(S s) : v(T(s) - Raw{}) {}

  FNN_INLINE friend Vec operator+(Vec a, Vec b) { return a.v + b.v; }
  FNN_INLINE friend Vec operator-(Vec a, Vec b) { return a.v - b.v; }
  FNN_INLINE friend Vec operator*(Vec a, Vec b) { return a.v * b.v; }
  FNN_INLINE friend Vec operator/(Vec a, Vec b) { return a.v / b.v; }
  FNN_INLINE friend Vec operator-(Vec a) { return -a.v; }
  FNN_INLINE Vec& operator+=(Vec b) {
    v += b.v;
    return *this;
  }
  FNN_INLINE friend Mask operator<(Vec a, Vec b) { return a.v < b.v; }
  FNN_INLINE friend Mask operator>(Vec a, Vec b) { return a.v > b.v; }
  FNN_INLINE friend Mask operator<=(Vec a, Vec b) { return a.v <= b.v; }
  FNN_INLINE friend Mask operator>=(Vec a, Vec b) { return a.v >= b.v; }
  FNN_INLINE friend Mask operator==(Vec a, Vec b) { return a.v == b.v; }
  FNN_INLINE friend Mask operator!=(Vec a, Vec b) { return a.v != b.v; }

  FNN_INLINE static Vec load(const T* p) {
    Vec r;
    __builtin_memcpy(&r.v, p, kVecBytes);
    return r;
  }
  FNN_INLINE void store(T* p) const { __builtin_memcpy(p, &v, kVecBytes); }
  FNN_INLINE static Vec load(const T* p, int n);  // the other lanes are 0
  FNN_INLINE void store(T* p, int n) const;       // touches n elements
  FNN_INLINE void stream(T* p) const;             // past the caches, to memory aligned as a vector
};

// Lanes of a where the mask is set, of b elsewhere.
template <class T>
FNN_INLINE Vec<T> select(typename Vec<T>::Mask m, Vec<T> a, Vec<T> b) {
  return m ? a.v : b.v;
}
FNN_INLINE float select(bool m, float a, float b) { return m ? a : b; }
FNN_INLINE double select(bool m, double a, double b) { return m ? a : b; }

#if defined(FNN_AVX512)
FNN_INLINE __mmask16 lanes(float, int n) { return static_cast<__mmask16>((1u << n) - 1); }
FNN_INLINE __mmask8 lanes(double, int n) { return static_cast<__mmask8>((1u << n) - 1); }
template <>
FNN_INLINE Vec<float> Vec<float>::load(const float* p, int n) {
  return Raw(_mm512_maskz_loadu_ps(lanes(0.f, n), p));
}
template <>
FNN_INLINE Vec<double> Vec<double>::load(const double* p, int n) {
  return Raw(_mm512_maskz_loadu_pd(lanes(0., n), p));
}
template <>
FNN_INLINE void Vec<float>::store(float* p, int n) const {
  _mm512_mask_storeu_ps(p, lanes(0.f, n), __m512(v));
}
template <>
FNN_INLINE void Vec<double>::store(double* p, int n) const {
  _mm512_mask_storeu_pd(p, lanes(0., n), __m512d(v));
}
FNN_INLINE Vec<float> sqrt(Vec<float> x) { return Vec<float>::Raw(_mm512_sqrt_ps(__m512(x.v))); }
FNN_INLINE Vec<double> sqrt(Vec<double> x) { return Vec<double>::Raw(_mm512_sqrt_pd(__m512d(x.v))); }
FNN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return Vec<float>::Raw(_mm512_fmadd_ps(__m512(a.v), __m512(b.v), __m512(c.v)));
}
FNN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return Vec<double>::Raw(_mm512_fmadd_pd(__m512d(a.v), __m512d(b.v), __m512d(c.v)));
}
#elif defined(FNN_AVX2)
FNN_INLINE __m256i lanes(float, int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FNN_INLINE __m256i lanes(double, int n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
template <>
FNN_INLINE Vec<float> Vec<float>::load(const float* p, int n) {
  return Raw(_mm256_maskload_ps(p, lanes(0.f, n)));
}
template <>
FNN_INLINE Vec<double> Vec<double>::load(const double* p, int n) {
  return Raw(_mm256_maskload_pd(p, lanes(0., n)));
}
// In pieces of 4, 2 and 1: a masked store takes tens of micro-operations on AMD's processors.
template <>
FNN_INLINE void Vec<float>::store(float* p, int n) const {
  if (n >= N) return store(p);
  __m128 part = _mm256_castps256_ps128(__m256(v));
  if (n & 4) {
    _mm_storeu_ps(p, part);
    part = _mm256_extractf128_ps(__m256(v), 1);
    p += 4;
  }
  if (n & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), part);
    part = _mm_movehl_ps(part, part);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, part);
}
template <>
FNN_INLINE void Vec<double>::store(double* p, int n) const {
  if (n >= N) return store(p);
  __m128d part = _mm256_castpd256_pd128(__m256d(v));
  if (n & 2) {
    _mm_storeu_pd(p, part);
    part = _mm256_extractf128_pd(__m256d(v), 1);
    p += 2;
  }
  if (n & 1) _mm_store_sd(p, part);
}
FNN_INLINE Vec<float> sqrt(Vec<float> x) { return Vec<float>::Raw(_mm256_sqrt_ps(__m256(x.v))); }
FNN_INLINE Vec<double> sqrt(Vec<double> x) { return Vec<double>::Raw(_mm256_sqrt_pd(__m256d(x.v))); }
FNN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return Vec<float>::Raw(_mm256_fmadd_ps(__m256(a.v), __m256(b.v), __m256(c.v)));
}
FNN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return Vec<double>::Raw(_mm256_fmadd_pd(__m256d(a.v), __m256d(b.v), __m256d(c.v)));
}
#else
template <class T>
FNN_INLINE Vec<T> Vec<T>::load(const T* p, int n) {
  Vec r(T(0));
  for (int i = 0; i < n; ++i) r.v[i] = p[i];
  return r;
}
template <class T>
FNN_INLINE void Vec<T>::store(T* p, int n) const {
  for (int i = 0; i < n; ++i) p[i] = v[i];
}
template <class T>
FNN_INLINE Vec<T> sqrt(Vec<T> x) {
  for (int i = 0; i < Vec<T>::N; ++i) x.v[i] = sizeof(T) == 4 ? __builtin_sqrtf(x.v[i]) : __builtin_sqrt(x.v[i]);
  return x;
}
#if defined(FNN_EMULATE_AVX512)  // one rounding, as the real one
FNN_INLINE __m256 half_fma(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
FNN_INLINE __m256d half_fma(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
template <class T>
FNN_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  typedef T Half __attribute__((vector_size(32)));
  Half x[2], y[2], z[2];
  __builtin_memcpy(x, &a.v, sizeof x);
  __builtin_memcpy(y, &b.v, sizeof y);
  __builtin_memcpy(z, &c.v, sizeof z);
  for (int i = 0; i < 2; ++i) z[i] = half_fma(x[i], y[i], z[i]);
  __builtin_memcpy(&c.v, z, sizeof z);
  return c;
}
#else
template <class T>
FNN_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return a * b + c;
}
#endif
#endif

// A line that is to be written whole need not be read first, as a plain store would.
template <class T>
FNN_INLINE void Vec<T>::stream(T* p) const {
#if defined(FNN_EMULATE_AVX512)
  store(p);
#elif defined(FNN_AVX512)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), reinterpret_cast<__m512i>(v));
#elif defined(FNN_AVX2)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(v));
#elif defined(__x86_64__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), reinterpret_cast<__m128i>(v));
#else
  store(p);
#endif
}

FNN_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
FNN_INLINE double sqrt(double x) { return __builtin_sqrt(x); }

// NaN in a gives NaN; a > b keeps a.
template <class V>
FNN_INLINE V max(V a, V b) {
  return select(a < b, b, a);
}
template <class V>
FNN_INLINE V min(V a, V b) {
  return select(a > b, b, a);
}
template <class T>
FNN_INLINE Vec<T> abs(Vec<T> a) {
  using Mask = typename Vec<T>::Mask;
  return typename Vec<T>::Raw(Mask(a.v) & ~Mask(Vec<T>(T(-0.0)).v));
}

// The first n lanes, 0 in the others.
template <class T>
FNN_INLINE Vec<T> first_lanes(Vec<T> x, int n) {
  typename Vec<T>::Mask lane;
  for (int i = 0; i < Vec<T>::N; ++i) lane[i] = i;
  return select(typename Vec<T>::Mask(lane < static_cast<typename Vec<T>::Int>(n)), x, Vec<T>(0));
}

// Sum of the lanes, in a fixed order: halves are folded onto each other.
template <class T>
FNN_INLINE T sum(Vec<T> x) {
  T lane[Vec<T>::N];
  x.store(lane);
  for (int half = Vec<T>::N / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
  return lane[0];
}

// Where an elementwise loop stands: a whole vector, or the n elements left at the end.
template <class T>
struct Whole {
  int64_t i;
  FNN_INLINE Vec<T> load(const T* p) const { return Vec<T>::load(p + i); }
  FNN_INLINE void store(T* p, Vec<T> x) const { x.store(p + i); }
  static constexpr int count() { return Vec<T>::N; }
};
template <class T>
struct Streamed : Whole<T> {
  FNN_INLINE void store(T* p, Vec<T> x) const { x.stream(p + this->i); }
};
template <class T>
struct Part {
  int64_t i;
  int n;
  FNN_INLINE Vec<T> load(const T* p) const { return Vec<T>::load(p + i, n); }
  FNN_INLINE void store(T* p, Vec<T> x) const { x.store(p + i, n); }
  int count() const { return n; }
};

// f(at) over [begin, end).
template <class T, class F>
FNN_INLINE void for_vec(int64_t begin, int64_t end, const F& f) {
  int64_t i = begin;
  for (; i + Vec<T>::N <= end; i += Vec<T>::N) f(Whole<T>{i});
  if (i < end) f(Part<T>{i, static_cast<int>(end - i)});
}

constexpr int64_t kStreamBytes = int64_t{32} << 20;  // results of which the caches would keep little

// Whether n results at y are better written past the caches.
template <class T>
FNN_INLINE bool streams(const T* y, int64_t n) {
  return n * static_cast<int64_t>(sizeof(T)) >= kStreamBytes && reinterpret_cast<uintptr_t>(y) % kVecBytes == 0;
}
// After streaming, before other threads are told.
FNN_INLINE void end_stream() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// y[i] = x[i] for n elements of the `total` that y gets in all.
template <class T>
FNN_INLINE void copy_out(T* y, const T* x, int64_t n, int64_t total) {
  if (!streams(y, total)) {
    __builtin_memcpy(y, x, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  constexpr int64_t kStep = kVecBytes / sizeof(T);
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    Vec<float> v;
    __builtin_memcpy(&v, x + i, kVecBytes);
    v.stream(reinterpret_cast<float*>(y + i));
  }
  __builtin_memcpy(y + i, x + i, static_cast<size_t>(n - i) * sizeof(T));
  end_stream();
}

// for_vec that only stores to the n results at y, streaming them where streams(y, n);
// `begin` is then that of a vector.
template <class T, class F>
FNN_INLINE void for_vec_to(const T* y, int64_t n, int64_t begin, int64_t end, const F& f) {
  if (!streams(y, n)) return for_vec<T>(begin, end, f);
  int64_t i = begin;
  for (; i + Vec<T>::N <= end; i += Vec<T>::N) f(Streamed<T>{{i}});
  if (i < end) f(Part<T>{i, static_cast<int>(end - i)});
  end_stream();
}

}  // namespace fnn::FNN_ISA
#endif
