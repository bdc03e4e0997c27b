#pragma once

#include <cstdint>

namespace fnn {

// alpha: beta of smooth_l1, delta of huber, eps of gaussian_nll.
enum class PointwiseLoss {
  mse,
  l1,
  smooth_l1,
  huber,
  bce,
  bce_with_logits,
  gaussian_nll,
  gaussian_nll_full,
  kl_div,
  kl_div_log
};

// What the four inputs are: x and t always, u the variance of gaussian_nll or the weight
// of the two bce, v the pos_weight of bce_with_logits; null where there is none (taken as 1).
template <class T>
struct PointwiseLossFwdArgs {
  int64_t n;
  const T *x, *t, *u, *v;  // (n) each
  T* y;                    // (n), or (1): the sum times scale
  bool reduce;
  T scale;
  PointwiseLoss kind;
  T alpha;

  template <class V>
  void visit(V& to) {
    for (const T** p : {&x, &t, &u, &v}) to.in(*p, n);
    to.out(y, reduce ? 1 : n);
  }
};

template <class T>
struct PointwiseLossBwdArgs {
  int64_t n;
  const T *x, *t, *u, *v;  // (n) each
  const T* dy;             // (n), or (1) times scale
  bool reduce;
  T scale;
  T *dx, *dt, *du;  // (n) each, null where not wanted
  PointwiseLoss kind;
  T alpha;

  template <class V>
  void visit(V& to) {
    for (const T** p : {&x, &t, &u, &v}) to.in(*p, n);
    to.in(dy, reduce ? 1 : n);
    for (T** p : {&dx, &dt, &du}) to.out(*p, n);
  }
};

}  // namespace fnn
