// The formulas of the elementwise functions, for whole vectors: value and slope.
// slope() is given x, or y = value(x) for the functions listed in reads_y().
#pragma once

#include "ops/unary/args.h"
#include "simd/math.h"

namespace fnn::FNN_ISA {

template <UnaryOp op>
struct Unary;

#define FNN_UNARY(name, value_, slope_)                                                           \
  template <>                                                                                     \
  struct Unary<UnaryOp::name> {                                                                   \
    template <class V>                                                                            \
    static FNN_INLINE V value(V x, [[maybe_unused]] V a, [[maybe_unused]] V b) {                  \
      [[maybe_unused]] const V zero = V(0), one = V(1), half = V(0.5);                            \
      return value_;                                                                              \
    }                                                                                             \
    template <class V>                                                                            \
    static FNN_INLINE V slope([[maybe_unused]] V x, [[maybe_unused]] V a, [[maybe_unused]] V b) { \
      [[maybe_unused]] const V zero = V(0), one = V(1), half = V(0.5);                            \
      [[maybe_unused]] const V y = x; /* for the functions whose slope reads y */                 \
      return slope_;                                                                              \
    }                                                                                             \
  };

constexpr double kSqrtHalf = 0.70710678118654752440, kInvSqrt2Pi = 0.39894228040143267794;
constexpr double kInvSqrtPi = 0.56418958354775628695;
constexpr double kSqrt2OverPi = 0.79788456080286535588, kGeluCubic = 0.044715;

FNN_UNARY(neg, -x, V(-1))
FNN_UNARY(abs, abs(x), select(x > zero, one, select(x < zero, -one, zero)))
FNN_UNARY(exp, exp(x), y)
FNN_UNARY(log, log(x), one / x)
FNN_UNARY(sqrt, sqrt(x), half / y)
FNN_UNARY(square, x* x, x + x)
FNN_UNARY(pow, pow(x, a), select(a == zero, zero, a* pow(x, a - one)))
FNN_UNARY(clip, min(max(x, a), b), select(x >= a, select(x <= b, one, zero), zero))
FNN_UNARY(sin, sin(x), cos(x))
FNN_UNARY(cos, cos(x), -sin(x))
FNN_UNARY(erf, erf(x), V(2 * kInvSqrtPi) * exp(-x * x))
FNN_UNARY(relu, select(x < zero, zero, x), select(y > zero, one, zero))
FNN_UNARY(leaky_relu, select(x > zero, x, a* x), select(x > zero, one, a))
FNN_UNARY(sigmoid, sigmoid(x), y*(one - y))
FNN_UNARY(tanh, tanh(x), one - y * y)
// Hendrycks and Gimpel, "Gaussian error linear units", 2016.
FNN_UNARY(gelu, half * x * (one + erf_for_gelu(x * V(kSqrtHalf))),
          half*(one + erf_for_gelu(x * V(kSqrtHalf))) + x * V(kInvSqrt2Pi) * exp(-half * x * x))
template <class V>
FNN_INLINE V gelu_inner(V x) {
  return tanh(V(kSqrt2OverPi) * (x + V(kGeluCubic) * x * x * x));
}
FNN_UNARY(gelu_tanh, half * x * (one + gelu_inner(x)),
          half*(one + gelu_inner(x)) +
              half * x * (one - gelu_inner(x) * gelu_inner(x)) * V(kSqrt2OverPi) * (one + V(3 * kGeluCubic) * x * x))
FNN_UNARY(silu, x* sigmoid(x), sigmoid(x) * (one + x * (one - sigmoid(x))))

#undef FNN_UNARY

// f(Unary<op>{}) for an op known only at run time: the switch stands outside the loops.
template <class F>
FNN_HOST_INLINE void with_unary(UnaryOp op, const F& f) {
  switch (op) {
#define FNN_CASE(name) \
  case UnaryOp::name: return f(Unary<UnaryOp::name>{});
    FNN_CASE(neg)
    FNN_CASE(abs)
    FNN_CASE(exp)
    FNN_CASE(log)
    FNN_CASE(sqrt)
    FNN_CASE(square)
    FNN_CASE(pow)
    FNN_CASE(clip)
    FNN_CASE(sin)
    FNN_CASE(cos)
    FNN_CASE(erf)
    FNN_CASE(relu)
    FNN_CASE(leaky_relu)
    FNN_CASE(sigmoid)
    FNN_CASE(tanh)
    FNN_CASE(gelu)
    FNN_CASE(gelu_tanh)
    FNN_CASE(silu)
#undef FNN_CASE
  }
}

// The same for the fusible() ones.
template <class F>
FNN_INLINE void with_fusible(UnaryOp op, const F& f) {
  switch (op) {
    case UnaryOp::relu: return f(Unary<UnaryOp::relu>{});
    case UnaryOp::sigmoid: return f(Unary<UnaryOp::sigmoid>{});
    case UnaryOp::tanh: return f(Unary<UnaryOp::tanh>{});
    default: return;
  }
}

// The same for the fusible_in_linear() ones.
template <class F>
FNN_INLINE void with_fusible_in_linear(UnaryOp op, const F& f) {
  switch (op) {
    case UnaryOp::gelu: return f(Unary<UnaryOp::gelu>{});
    case UnaryOp::gelu_tanh: return f(Unary<UnaryOp::gelu_tanh>{});
    case UnaryOp::silu: return f(Unary<UnaryOp::silu>{});
    default: return with_fusible(op, f);
  }
}

}  // namespace fnn::FNN_ISA
