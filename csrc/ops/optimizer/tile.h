// The formulas of the optimizers, for the vector V `at` of a parameter: p and its gradient g
// become the new p, and the state is moved on.
#pragma once

#include "ops/optimizer/args.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

template <class V, class Rule>
FNN_INLINE V decayed(const Rule& a, V p, V g) {
  if (a.maximize) g = -g;
  if (a.weight_decay != 0) g = g + V(a.weight_decay) * p;
  return g;
}

template <class V, class T, class At>
FNN_INLINE V updated(const SgdRule<T>& a, T* const* state, At at, V p, V g) {
  const V lr(a.lr), momentum(a.momentum);
  g = decayed(a, p, g);
  T* buf = state[0];
  if (!buf) return p - lr * g;
  const V b = momentum * at.load(buf) + V(a.fresh) * g;
  at.store(buf, b);
  return p - lr * (a.nesterov ? g + momentum * b : b);
}

template <class V, class T, class At>
FNN_INLINE V updated(const AdamRule<T>& a, T* const* state, At at, V p, V g) {
  T *mean = state[0], *square = state[1], *largest = state[2];
  if (a.decoupled)
    g = a.maximize ? -g : g;
  else
    g = decayed(a, p, g);
  const V m = V(a.beta1) * at.load(mean) + V(a.fresh1) * g;
  V v = V(a.beta2) * at.load(square) + V(a.fresh2) * g * g;
  at.store(mean, m);
  at.store(square, v);
  if (largest) {
    v = max(at.load(largest), v);
    at.store(largest, v);
  }
  if (a.decoupled) p = p * V(a.kept);
  return p - V(a.step_size) * m / (sqrt(v) / V(a.bias2) + V(a.eps));
}

template <class V, class T, class At>
FNN_INLINE V updated(const RmspropRule<T>& a, T* const* state, At at, V p, V g) {
  T *squares = state[0], *buf = state[1], *mean = state[2];
  const V lr(a.lr), alpha(a.alpha), fresh(a.fresh);
  g = decayed(a, p, g);
  const V square = alpha * at.load(squares) + fresh * g * g;
  at.store(squares, square);
  V spread = square;
  if (mean) {
    const V m = alpha * at.load(mean) + fresh * g;
    at.store(mean, m);
    spread = square - m * m;
  }
  const V d = g / (sqrt(spread) + V(a.eps));
  if (!buf) return p - lr * d;
  const V b = V(a.momentum) * at.load(buf) + d;
  at.store(buf, b);
  return p - lr * b;
}

template <class V, class T, class At>
FNN_INLINE V updated(const AdagradRule<T>& a, T* const* state, At at, V p, V g) {
  T* squares = state[0];
  g = decayed(a, p, g);
  const V sum = at.load(squares) + g * g;
  at.store(squares, sum);
  return p - V(a.lr) * g / (sqrt(sum) + V(a.eps));
}

template <class V, class T, class At>
FNN_INLINE V updated(const AdadeltaRule<T>& a, T* const* state, At at, V p, V g) {
  T *squares = state[0], *delta = state[1];
  const V rho(a.rho), fresh(a.fresh), eps(a.eps);
  g = decayed(a, p, g);
  const V square = rho * at.load(squares) + fresh * g * g, before = at.load(delta);
  const V d = g * sqrt(before + eps) / sqrt(square + eps);
  at.store(squares, square);
  at.store(delta, rho * before + fresh * d * d);
  return p - V(a.lr) * d;
}

}  // namespace fnn::FNN_ISA
