// The formulas: value, and partial derivatives for x, t and u.
#pragma once

#include "ops/pointwise_loss/args.h"
#include "simd/math.h"

namespace fnn::FNN_ISA {

template <class V>
struct Partials {
  V dx, dt, du;
};

template <PointwiseLoss kind>
struct Loss;

// log(1 + exp(-|x|)) + max(-x, 0) = -log sigmoid(x)
template <class V>
FNN_INLINE V softplus_minus(V x) {
  return log(V(1) + exp(-abs(x))) + max(-x, V(0));
}
template <class V>
FNN_INLINE V sign(V x) {
  return select(x > V(0), V(1), select(x < V(0), V(-1), x));  // keeps NaN
}

#define FNN_LOSS(name, value_, dx_, dt_, du_)                                                               \
  template <>                                                                                               \
  struct Loss<PointwiseLoss::name> {                                                                        \
    template <class V>                                                                                      \
    static FNN_INLINE V value(V x, V t, [[maybe_unused]] V u, [[maybe_unused]] V v, [[maybe_unused]] V a) { \
      [[maybe_unused]] const V d = x - t, one = V(1), zero = V(0), half = V(0.5);                           \
      return value_;                                                                                        \
    }                                                                                                       \
    template <class V>                                                                                      \
    static FNN_INLINE Partials<V> partials(V x, V t, [[maybe_unused]] V u, [[maybe_unused]] V v,            \
                                           [[maybe_unused]] V a) {                                          \
      [[maybe_unused]] const V d = x - t, one = V(1), zero = V(0), half = V(0.5);                           \
      return {dx_, dt_, du_};                                                                               \
    }                                                                                                       \
  };

FNN_LOSS(mse, d* d, d + d, -d - d, zero)
FNN_LOSS(l1, abs(d), sign(d), -sign(d), zero)
FNN_LOSS(smooth_l1, select(abs(d) < a, half * d * d / a, abs(d) - half * a), select(abs(d) < a, d / a, sign(d)),
         -select(abs(d) < a, d / a, sign(d)), zero)
FNN_LOSS(huber, select(abs(d) <= a, half * d * d, a*(abs(d) - half * a)), select(abs(d) <= a, d, a* sign(d)),
         -select(abs(d) <= a, d, a* sign(d)), zero)
// Logarithms are kept above -100, as PyTorch does, so that a certain but wrong answer has a finite loss.
template <class V>
FNN_INLINE V bounded_log(V x) {
  return max(log(x), V(-100));
}
FNN_LOSS(bce, -u*(t* bounded_log(x) + (one - t) * bounded_log(one - x)), u* d / max(x * (one - x), V(1e-12)),
         u*(bounded_log(one - x) - bounded_log(x)), zero)
FNN_LOSS(bce_with_logits, u*((one - t) * x + (one + (v - one) * t) * softplus_minus(x)),
         u*((one - t) - (one + (v - one) * t) * sigmoid(-x)), u*((v - one) * softplus_minus(x) - x), zero)
// Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994.
template <class V>
FNN_INLINE V gaussian(V d, V var) {
  return V(0.5) * (log(var) + d * d / var);
}
constexpr double kHalfLog2Pi = 0.91893853320467274178;
FNN_LOSS(gaussian_nll, gaussian(d, max(u, a)), d / max(u, a), -d / max(u, a),
         half*(one / max(u, a) - d * d / (max(u, a) * max(u, a))))
FNN_LOSS(gaussian_nll_full, gaussian(d, max(u, a)) + V(kHalfLog2Pi), d / max(u, a), -d / max(u, a),
         half*(one / max(u, a) - d * d / (max(u, a) * max(u, a))))
// x is a log-probability, t a probability; t log t is 0 at 0.
FNN_LOSS(kl_div, select(t == zero, zero, t*(log(t) - x)), -t, select(t == zero, zero, log(t) + one - x), zero)
FNN_LOSS(kl_div_log, exp(t) * (t - x), -exp(t), exp(t) * (t - x + one), zero)

#undef FNN_LOSS

template <class F>
FNN_HOST_INLINE void with_loss(PointwiseLoss kind, const F& f) {
  switch (kind) {
#define FNN_CASE(name) \
  case PointwiseLoss::name: return f(Loss<PointwiseLoss::name>{});
    FNN_CASE(mse)
    FNN_CASE(l1)
    FNN_CASE(smooth_l1)
    FNN_CASE(huber)
    FNN_CASE(bce)
    FNN_CASE(bce_with_logits)
    FNN_CASE(gaussian_nll)
    FNN_CASE(gaussian_nll_full)
    FNN_CASE(kl_div)
    FNN_CASE(kl_div_log)
#undef FNN_CASE
  }
}

}  // namespace fnn::FNN_ISA
