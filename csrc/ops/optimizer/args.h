#pragma once

#include <cstdint>

#include "core/changing.h"

namespace fnn {

constexpr int kUpdateTensors = 64;  // parameters that one call updates, a power of two

// Parameters, their gradients and State tensors a parameter, which all lie in memory alike.
template <class T, int State>
struct Parameters {
  int count;
  int64_t n[kUpdateTensors];
  T* p[kUpdateTensors];             // (n[i])
  const T* grad[kUpdateTensors];    // (n[i])
  T* state[kUpdateTensors][State];  // (n[i]) each, or null

  template <class V>
  void visit(V& v) {
    for (int i = 0; i < count; ++i) {
      v.inout(p[i], n[i]);
      v.in(grad[i], n[i]);
      for (int k = 0; k < State; ++k) v.inout(state[i][k], n[i]);
    }
  }
};

// One step, elementwise and in place. In all of them
// g = (maximize ? -grad : grad) + weight_decay p, unless the decay is decoupled.

// buf = momentum buf + (1 - dampening) g;  p -= lr (nesterov ? g + momentum buf : buf).
// Sutskever et al., "On the importance of initialization and momentum", 2013.
template <class T>
struct SgdRule {
  static constexpr int kState = 1;      // buf, null without momentum
  T lr, momentum, fresh, weight_decay;  // fresh = 1 - dampening, rounded once; so below
  bool nesterov, maximize;
};

// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= step_size m / (sqrt(v) / bias2 + eps),
// step_size = lr / (1 - b1^t), bias2 = sqrt(1 - b2^t). Kingma and Ba, 2015; decoupled decay
// (p -= lr weight_decay p first): Loshchilov and Hutter, 2019.
template <class T>
struct AdamRule {
  static constexpr int kState = 3;                                            // m, v; v_max with amsgrad only
  T beta1, fresh1, beta2, fresh2, eps, weight_decay, kept, step_size, bias2;  // kept = 1 - lr weight_decay
  bool decoupled, maximize;
};

// s = alpha s + (1 - alpha) g^2;  d = sqrt(s - mean^2 when centered) + eps;
// p -= lr g / d, or buf = momentum buf + g / d;  p -= lr buf. Tieleman and Hinton, 2012.
template <class T>
struct RmspropRule {
  static constexpr int kState = 3;  // s; buf with momentum, mean with centered only
  T lr, alpha, fresh, eps, weight_decay, momentum;
  bool maximize;
};

// s += g^2;  p -= lr g / (sqrt(s) + eps). Duchi, Hazan and Singer, 2011.
template <class T>
struct AdagradRule {
  static constexpr int kState = 1;  // s
  T lr, eps, weight_decay;
  bool maximize;
};

// s = rho s + (1 - rho) g^2;  d = g sqrt(delta + eps) / sqrt(s + eps);
// delta = rho delta + (1 - rho) d^2;  p -= lr d. Zeiler, 2012.
template <class T>
struct AdadeltaRule {
  static constexpr int kState = 2;  // s, delta
  T lr, rho, fresh, eps, weight_decay;
  bool maximize;
};

// One step of up to kUpdateTensors parameters.
template <class T, template <class> class Rule>
struct UpdateArgs {
  Parameters<T, Rule<T>::kState> on;
  Changing<Rule<T>> rule;

  template <class V>
  void visit(V& v) {
    on.visit(v);
  }
  auto& changing() { return rule; }
};

template <class T>
struct SgdArgs : UpdateArgs<T, SgdRule> {};
template <class T>
struct AdamArgs : UpdateArgs<T, AdamRule> {};
template <class T>
struct RmspropArgs : UpdateArgs<T, RmspropRule> {};
template <class T>
struct AdagradArgs : UpdateArgs<T, AdagradRule> {};
template <class T>
struct AdadeltaArgs : UpdateArgs<T, AdadeltaRule> {};

}  // namespace fnn
