// exp, log, tanh, sigmoid, erf, sin, cos, pow for a Vec<T>. Errors, as tests/test_simd_math.py measures them:
// exp and log at most 1 ulp; erf, sin and cos 2; pow 1; tanh and sigmoid 2.5, where sigmoid's subnormal results
// may be 0.
#pragma once

#if defined(FNN_CUDA)
#include "cuda/math.cuh"
#else
#include "simd/vec.h"

namespace fnn::FNN_ISA {

template <class T>
struct FloatBits;
template <>
struct FloatBits<float> {
  static constexpr int kMantissa = 23, kBias = 127;
  static constexpr float kRound = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float kLn2Hi = 0.693359375f, kLn2Lo = -2.12194440e-4f;
  static constexpr float kMaxExp = 89.f, kMinExp = -104.f;
  static constexpr float kTiny = 1.17549435e-38f, kScaleUp = 16777216.f;  // 2^24
  static constexpr int kScaleUpBits = 24, kTaylor = 8, kLogTerms = 5;
};
template <>
struct FloatBits<double> {
  static constexpr int kMantissa = 52, kBias = 1023;
  static constexpr double kRound = 6755399441055744.;  // 1.5 * 2^52
  static constexpr double kLn2Hi = 6.93147180369123816490e-01, kLn2Lo = 1.90821492927058770002e-10;
  static constexpr double kMaxExp = 710., kMinExp = -746.;
  static constexpr double kTiny = 2.2250738585072014e-308, kScaleUp = 18014398509481984.;  // 2^54
  static constexpr int kScaleUpBits = 54, kTaylor = 14, kLogTerms = 7;
};

constexpr double kInverseFactorial[] = {1.,
                                        1.,
                                        1. / 2,
                                        1. / 6,
                                        1. / 24,
                                        1. / 120,
                                        1. / 720,
                                        1. / 5040,
                                        1. / 40320,
                                        1. / 362880,
                                        1. / 3628800,
                                        1. / 39916800,
                                        1. / 479001600,
                                        1. / 6227020800.,
                                        1. / 87178291200.,
                                        1. / 1307674368000.,
                                        1. / 20922789888000.,
                                        1. / 355687428096000.};

// 2^n for integers n held in the low bits of a vector's lanes, |n| below the bias.
template <class T>
FNN_INLINE Vec<T> exp2_int(typename Vec<T>::Mask n) {
  using B = FloatBits<T>;
  using Bits = typename Vec<T>::Bits;
  return typename Vec<T>::Raw((Bits(n) + B::kBias) << B::kMantissa);
}

// x = n ln 2 + r with |r| <= ln 2 / 2: gives exp(r) - 1 by Taylor's series, and n.
template <class T>
FNN_INLINE Vec<T> exp_reduced(Vec<T> x, typename Vec<T>::Mask& n) {
  using B = FloatBits<T>;
  using Mask = typename Vec<T>::Mask;
  using Bits = typename Vec<T>::Bits;
  const Vec<T> shifted = fma(x, Vec<T>(T(1.4426950408889634)), Vec<T>(B::kRound));
  const Vec<T> whole = shifted - Vec<T>(B::kRound);
  n = Mask(Bits(shifted.v) - Bits(Vec<T>(B::kRound).v));
  const Vec<T> r = fma(whole, Vec<T>(-B::kLn2Lo), fma(whole, Vec<T>(-B::kLn2Hi), x));
  auto p = Vec<T>(kInverseFactorial[B::kTaylor]);
#pragma GCC unroll 16
  for (int i = B::kTaylor - 1; i >= 2; --i) p = fma(p, r, Vec<T>(kInverseFactorial[i]));
  return fma(r * r, p, r);
}

template <class T>
FNN_INLINE Vec<T> exp(Vec<T> x) {
  using B = FloatBits<T>;
  x = min(max(x, Vec<T>(B::kMinExp)), Vec<T>(B::kMaxExp));
  typename Vec<T>::Mask n;
  const Vec<T> p = Vec<T>(T(1)) + exp_reduced(x, n);
  const auto half = n >> 1;  // in two steps, so that overflow and subnormals come out right
  return p * exp2_int<T>(half) * exp2_int<T>(n - half);
}

// exp(x) - 1 without cancellation near 0.
template <class T>
FNN_INLINE Vec<T> expm1(Vec<T> x) {
  using B = FloatBits<T>;
  x = min(max(x, Vec<T>(T(-40))), Vec<T>(B::kMaxExp));
  typename Vec<T>::Mask n;
  const Vec<T> p = exp_reduced(x, n);
  const auto half = n >> 1;
  const Vec<T> a = exp2_int<T>(half), b = exp2_int<T>(n - half);
  return fma(p * a, b, fma(a, b, Vec<T>(T(-1))));
}

template <class T>
FNN_INLINE Vec<T> sigmoid(Vec<T> x) {
  return Vec<T>(T(1)) / (Vec<T>(T(1)) + exp(-x));
}

template <class T>
FNN_INLINE Vec<T> tanh(Vec<T> x) {
  const Vec<T> a = min(abs(x), Vec<T>(T(22)));
  const Vec<T> e = expm1(a + a);
  const Vec<T> t = e / (e + Vec<T>(T(2)));
  return select(x < Vec<T>(T(0)), -t, select(x == Vec<T>(T(0)), x, t));
}

// log x = 2 atanh(f / (2 + f)) + k ln 2 for x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2).
template <class T>
FNN_INLINE Vec<T> log(Vec<T> x) {
  using B = FloatBits<T>;
  using V = Vec<T>;
  using Mask = typename V::Mask;
  const Mask small = x < V(B::kTiny);  // subnormal: scaled up first
  const V scaled = select(small, x * V(B::kScaleUp), x);
  // Subtracting sqrt(1/2)'s bits makes the exponent field the k wanted.
  using Bits = typename V::Bits;
  const Bits bits = Bits(scaled.v);
  const Bits sqrt_half = Bits(V(T(0.70710678118654752440)).v);
  const Bits k_bits = Bits(Mask(bits - sqrt_half) >> B::kMantissa);
  const V m = typename V::Raw(bits - (k_bits << B::kMantissa));
  V k = typename V::Raw(k_bits + Bits(V(B::kRound).v));
  k = k - V(B::kRound) - select(small, V(T(B::kScaleUpBits)), V(T(0)));
  const V f = m - V(T(1)), s = f / (V(T(2)) + f), z = s * s;
  // 2 atanh(s) = 2s + s R(z), R by minimax (FreeBSD's e_log.c, SunPro 1993).
  constexpr double c[] = {6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
                          2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
                          1.479819860511658591e-01};
  auto r = V(c[B::kLogTerms - 1]);
#pragma GCC unroll 8
  for (int i = B::kLogTerms - 2; i >= 0; --i) r = fma(r, z, V(c[i]));
  r = r * z;
  const V h = V(T(0.5)) * f * f;
  const V y = fma(k, V(B::kLn2Hi), f - (h - fma(s, h + r, k * V(B::kLn2Lo))));
  const T inf = __builtin_inf();
  return select(x == V(T(0)), V(-inf),
                select(x < V(T(0)), V(T(__builtin_nan(""))), select(x == V(inf), x, select(x != x, x, y))));
}

// Polynomials through erf(sqrt z) / sqrt z at Chebyshev's nodes of 0 <= z <= 1, and through
// exp(x^2) erfc(x) of 1 <= x <= 6 as a function of (x - 3) / (x + 3).
template <class T>
struct ErfTerms;
template <>
struct ErfTerms<float> {
  static constexpr double kSmall[] = {0.96546873866986731,    -0.14053609727754268,   0.019852497140907616,
                                      -0.0022854195448728493, 0.00021751354165582578, -1.7669068026125697e-5,
                                      1.2306054785446076e-6};
  static constexpr double kLarge[] = {0.20798329133342886,   -0.1543611741150767,   0.049698445024357939,
                                      -0.012713150077462087, 0.0024793197594595851, -0.00033159447203562186,
                                      1.954527515097425e-5,  2.4145078152230688e-6, -5.2945541261056067e-7};
};
template <>
struct ErfTerms<double> {
  static constexpr double kSmall[] = {0.96546873866986731,    -0.14053608902271712,   0.019852496688983707,
                                      -0.0022854855611441132, 0.00021751715604159932, -1.7537169441124866e-5,
                                      1.2233827383598969e-6,  -7.5115692865917268e-8, 4.1158005832081491e-9,
                                      -2.035228405815769e-10, 9.1676195968658063e-12, -3.8078824063194955e-13,
                                      1.4543887079465116e-14};
  static constexpr double kLarge[] = {0.20798329133342886,     -0.15436117429436918,    0.049698445403394792,
                                      -0.012713147695691883,   0.0024793146970725102,   -0.00033160296058002244,
                                      1.9563583307619396e-5,   2.4255574909370324e-6,   -5.5412774096568197e-7,
                                      -4.526754922146699e-9,   1.1340254942109842e-8,   -2.6372638619677029e-10,
                                      -2.5808981071930676e-10, 5.9636505694791775e-12,  6.7116180144214571e-12,
                                      4.2396976894892784e-14,  -1.6688742419338411e-13, -8.9154371279800248e-15};
};

template <class T, int Terms>
FNN_INLINE Vec<T> polynomial(const double (&c)[Terms], Vec<T> x) {
  auto p = Vec<T>(c[Terms - 1]);
#pragma GCC unroll 20
  for (int i = Terms - 2; i >= 0; --i) p = fma(p, x, Vec<T>(c[i]));
  return p;
}

template <class T>
FNN_INLINE Vec<T> erf(Vec<T> x) {
  using V = Vec<T>;
  const V a = min(abs(x), V(T(6))), z = a * a;
  const V small = x * polynomial(ErfTerms<T>::kSmall, z + z - V(T(1)));
  const V t = (a - V(T(3))) / (a + V(T(3)));
  const V large = V(T(1)) - exp(-z) * polynomial(ErfTerms<T>::kLarge, (t + V(T(1. / 12))) * V(T(2.4)));
  return select(a < V(T(1)), small, select(x < V(T(0)), -large, select(x == x, large, x)));
}

// erf for gelu, whose error it hardly adds to: at most 7 ulp, and half the work. A quotient of polynomials in
// x^2, fitted by least squares where |x| <= 3.95; beyond, float32 has only 1.
FNN_INLINE Vec<float> erf_for_gelu(Vec<float> x) {
  using V = Vec<float>;
  constexpr double p[] = {1.1283791458145205,   0.19059324034654912,    0.05276910775031067,
                          0.003772491214767779, 0.00028483601065042234, 2.04595272785751e-06};
  constexpr double q[] = {1.0,
                          0.5022415930790272,
                          0.11418239647047468,
                          0.014983089358643257,
                          0.0011638316430697623,
                          3.8046601193187966e-05};
  const V z = x * x, y = x * (polynomial(p, z) / polynomial(q, z)), end(3.95f);
  return select(x > end, V(1.f), select(x < -end, V(-1.f), y));
}
FNN_INLINE Vec<double> erf_for_gelu(Vec<double> x) { return erf(x); }

// A vector of float32 as float64 in two.
struct Wide {
  Vec<double> half[2];

  FNN_INLINE explicit Wide(Vec<float> x) {
    typedef double Lanes __attribute__((vector_size(2 * kVecBytes)));
    const Lanes wide = __builtin_convertvector(x.v, Lanes);
    __builtin_memcpy(half, &wide, sizeof wide);
  }
  FNN_INLINE Vec<float> narrow() const {
    typedef double Lanes __attribute__((vector_size(2 * kVecBytes)));
    Lanes wide;
    __builtin_memcpy(&wide, half, sizeof wide);
    return Vec<float>::Raw(__builtin_convertvector(wide, Vec<float>::Raw));
  }
};

// pi / 2 in parts: products of the first three with numbers of 20 bits are exact.
constexpr double kHalfPi[] = {1.57079632673412561417e+00, 6.07710050630396597660e-11, 2.02226624871116645580e-21,
                              8.47842766036889956997e-32};

// x - n pi / 2 for n up to 2^20 where x is float32, whose own digits end long before.
FNN_INLINE Vec<double> beyond_quarters(Vec<double> x, Vec<double> n, float) {
  return (x - n * Vec<double>(kHalfPi[0])) - n * Vec<double>(kHalfPi[1] + kHalfPi[2]);
}
// The same for n up to 2^10: the difference cancels down to the last digits, so what the
// second subtraction rounds away (Knuth's sum of two) is carried on.
FNN_INLINE Vec<double> beyond_quarters(Vec<double> x, Vec<double> n, double) {
  const Vec<double> a = x - n * Vec<double>(kHalfPi[0]), w = -n * Vec<double>(kHalfPi[1]);
  const Vec<double> r = a + w, b = r - a, lost = (a - (r - b)) + (w - b);
  return r + (lost - n * Vec<double>(kHalfPi[2] + kHalfPi[3]));
}

template <class T>
struct Quarters {
  Vec<T> r;  // in [-pi / 4, pi / 4]
  typename Vec<T>::Mask n;
};

// The nearest integer, and the same as an integer.
template <class T>
FNN_INLINE Vec<T> nearest(Vec<T> x, typename Vec<T>::Mask& n) {
  using Bits = typename Vec<T>::Bits;
  const Vec<T> round(FloatBits<T>::kRound), shifted = x + round;
  n = typename Vec<T>::Mask(Bits(shifted.v) - Bits(round.v));
  return shifted - round;
}

// An angle in quarters of a turn.
template <class T>
FNN_INLINE Quarters<T> whole_quarters(Vec<T> turns) {
  Quarters<T> out;
  out.r = (turns - nearest(turns, out.n)) * Vec<T>(T(kHalfPi[0] + kHalfPi[1]));
  return out;
}

template <class T>
FNN_INLINE Quarters<T> quarters(Vec<T> x) {
  Quarters<T> out;
  const Vec<T> n = nearest(x * Vec<T>(T(0.63661977236758134308)), out.n);
  if constexpr (sizeof(T) == 4) {
    Wide wide(x);
    const Wide count(n);
    for (int i = 0; i < 2; ++i) wide.half[i] = beyond_quarters(wide.half[i], count.half[i], T());
    out.r = wide.narrow();
  } else {
    out.r = beyond_quarters(x, n, T());
  }
  return out;
}

// sin(r) for even n, cos(r) for odd ones, negated for n = 2 and 3 modulo 4; |r| <= pi / 4.
template <class T>
FNN_INLINE Vec<T> sine_of_quarters(Vec<T> r, typename Vec<T>::Mask n) {
  using V = Vec<T>;
  using Mask = typename V::Mask;
  constexpr int kSine = sizeof(T) == 4 ? 9 : 17, kCosine = kSine - 1 + 2 * (sizeof(T) == 4);  // degrees
  const auto term = [](int i) {
    return V(i & 2 ? -kInverseFactorial[i] : kInverseFactorial[i]);
  };  // of Taylor's series
  const V z = r * r;
  V s = term(kSine), c = term(kCosine);
#pragma GCC unroll 16
  for (int i = kSine - 2; i >= 3; i -= 2) s = fma(s, z, term(i));
#pragma GCC unroll 16
  for (int i = kCosine - 2; i >= 4; i -= 2) c = fma(c, z, term(i));
  const V sine = fma(r * z, s, r), cosine = V(T(1)) - (V(T(0.5)) * z - z * z * c);
  const V y = select(Mask((n & 1) != 0), cosine, sine);
  return select(Mask((n & 2) != 0), -y, y);
}

// f of the C library, in the lanes where the vector's formula does not hold: NaN and large numbers.
template <class T, class F>
FNN_INLINE Vec<T> patched(Vec<T> y, typename Vec<T>::Mask good, const F& f) {
  for (int i = 0; i < Vec<T>::N; ++i)
    if (!good[i]) y.v[i] = f(i);
  return y;
}
template <class T>
FNN_INLINE bool all(typename Vec<T>::Mask m) {
  typename Vec<T>::Int both = -1;
  for (int i = 0; i < Vec<T>::N; ++i) both &= m[i];
  return both;
}

template <class T>
constexpr T kMaxAngle = sizeof(T) == 4 ? T(1e6) : T(1600);  // n stays below what the parts of pi / 2 allow

template <class T>
FNN_INLINE Vec<T> sin(Vec<T> x) {
  const Quarters<T> q = quarters(x);
  const Vec<T> y = select(x == Vec<T>(T(0)), x, sine_of_quarters(q.r, q.n));
  const auto good = abs(x) <= Vec<T>(kMaxAngle<T>);
  if (all<T>(good)) return y;
  return patched(y, good, [&](int i) { return sizeof(T) == 4 ? __builtin_sinf(x.v[i]) : __builtin_sin(x.v[i]); });
}
template <class T>
FNN_INLINE Vec<T> cos(Vec<T> x) {
  const Quarters<T> q = quarters(x);
  const Vec<T> y = sine_of_quarters<T>(q.r, q.n + 1);
  const auto good = abs(x) <= Vec<T>(kMaxAngle<T>);
  if (all<T>(good)) return y;
  return patched(y, good, [&](int i) { return sizeof(T) == 4 ? __builtin_cosf(x.v[i]) : __builtin_cos(x.v[i]); });
}

// exp(y log x) in float64, where x and y are ordinary numbers.
FNN_INLINE Vec<float> pow(Vec<float> x, Vec<float> y) {
  const float inf = __builtin_inff();
  Wide base(x);
  const Wide exponent(y);
  for (int i = 0; i < 2; ++i) base.half[i] = exp(exponent.half[i] * log(base.half[i]));
  const Vec<float> p = base.narrow();
  const auto good = (x > Vec<float>(0.f)) & (x < Vec<float>(inf)) & (abs(y) < Vec<float>(inf));
  if (all<float>(good)) return p;
  return patched(p, good, [&](int i) { return __builtin_powf(x.v[i], y.v[i]); });
}
FNN_INLINE float pow(float x, float y) { return __builtin_powf(x, y); }
FNN_INLINE double pow(double x, double y) { return __builtin_pow(x, y); }
// Lane by lane through the C library: slow, and as exact as it is.
FNN_INLINE Vec<double> pow(Vec<double> x, Vec<double> y) {
  for (int i = 0; i < Vec<double>::N; ++i) x.v[i] = __builtin_pow(x.v[i], y.v[i]);
  return x;
}

}  // namespace fnn::FNN_ISA
#endif
