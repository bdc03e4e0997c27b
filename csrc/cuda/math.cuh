// The functions of simd/math.h for a thread's float, double or pack: CUDA's own, none of the
// fast and inexact ones. Division and square root are IEEE 754's.
#pragma once

#include <cmath>

#include "cuda/pack.cuh"

namespace fnn::cuda {

#define FNN_MATH(name, of_float, of_double)              \
  FNN_INLINE float name(float x) { return of_float; }    \
  FNN_INLINE double name(double x) { return of_double; } \
  template <class T, int N>                              \
  FNN_INLINE Pack<T, N> name(const Pack<T, N>& p) {      \
    return each(p, [](T x) { return name(x); });         \
  }
FNN_MATH(abs, ::fabsf(x), ::fabs(x))
FNN_MATH(sqrt, ::sqrtf(x), ::sqrt(x))
FNN_MATH(exp, ::expf(x), ::exp(x))
FNN_MATH(expm1, ::expm1f(x), ::expm1(x))
FNN_MATH(log, ::logf(x), ::log(x))
FNN_MATH(sin, ::sinf(x), ::sin(x))
FNN_MATH(cos, ::cosf(x), ::cos(x))
FNN_MATH(tanh, ::tanhf(x), ::tanh(x))
FNN_MATH(erf, ::erff(x), ::erf(x))
FNN_MATH(erf_for_gelu, ::erff(x), ::erf(x))
FNN_MATH(sigmoid, 1.f / (1.f + ::expf(-x)), 1. / (1. + ::exp(-x)))
#undef FNN_MATH

FNN_INLINE float pow(float x, float y) { return ::powf(x, y); }
FNN_INLINE double pow(double x, double y) { return ::pow(x, y); }
template <class T, int N>
FNN_INLINE Pack<T, N> pow(const Pack<T, N>& x, const Pack<T, N>& y) {
  Pack<T, N> p;
  for (int i = 0; i < N; ++i) p.v[i] = pow(x.v[i], y.v[i]);
  return p;
}

FNN_INLINE float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
FNN_INLINE double fma(double a, double b, double c) { return ::fma(a, b, c); }
template <class T, int N>
FNN_INLINE Pack<T, N> fma(const Pack<T, N>& a, const Pack<T, N>& b, const Pack<T, N>& c) {
  Pack<T, N> y;
  for (int i = 0; i < N; ++i) y.v[i] = fma(a.v[i], b.v[i], c.v[i]);
  return y;
}

// NaN in a gives NaN; a > b keeps a.
template <class V>
FNN_INLINE V max(V a, V b) {
  return select(a < b, b, a);
}
template <class V>
FNN_INLINE V min(V a, V b) {
  return select(a > b, b, a);
}

}  // namespace fnn::cuda
