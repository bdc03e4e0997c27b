// The formulas of the optimizers, for the vector `at` of a parameter: p and its gradient g
// become the new p, and the state is moved on.
#pragma once

#include "ops/optimizer/args.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

template <class T, class Rule>
FNN_INLINE Vec<T> decayed(const Rule& a, Vec<T> p, Vec<T> g) {
  if (a.maximize) g = -g;
  if (a.weight_decay != T(0)) g = g + Vec<T>(a.weight_decay) * p;
  return g;
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const SgdRule<T>& a, T* const* state, At at, Vec<T> p, Vec<T> g) {
  const Vec<T> lr(a.lr), momentum(a.momentum);
  g = decayed(a, p, g);
  T* buf = state[0];
  if (!buf) return p - lr * g;
  const Vec<T> b = momentum * at.load(buf) + Vec<T>(a.fresh) * g;
  at.store(buf, b);
  return p - lr * (a.nesterov ? g + momentum * b : b);
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const AdamRule<T>& a, T* const* state, At at, Vec<T> p, Vec<T> g) {
  T *mean = state[0], *square = state[1], *largest = state[2];
  if (a.decoupled)
    g = a.maximize ? -g : g;
  else
    g = decayed(a, p, g);
  const Vec<T> m = Vec<T>(a.beta1) * at.load(mean) + Vec<T>(a.fresh1) * g;
  Vec<T> v = Vec<T>(a.beta2) * at.load(square) + Vec<T>(a.fresh2) * g * g;
  at.store(mean, m);
  at.store(square, v);
  if (largest) {
    v = max(at.load(largest), v);
    at.store(largest, v);
  }
  if (a.decoupled) p = p * Vec<T>(a.kept);
  return p - Vec<T>(a.step_size) * m / (sqrt(v) / Vec<T>(a.bias2) + Vec<T>(a.eps));
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const RmspropRule<T>& a, T* const* state, At at, Vec<T> p, Vec<T> g) {
  T *squares = state[0], *buf = state[1], *mean = state[2];
  const Vec<T> lr(a.lr), alpha(a.alpha), fresh(a.fresh);
  g = decayed(a, p, g);
  const Vec<T> square = alpha * at.load(squares) + fresh * g * g;
  at.store(squares, square);
  Vec<T> spread = square;
  if (mean) {
    const Vec<T> m = alpha * at.load(mean) + fresh * g;
    at.store(mean, m);
    spread = square - m * m;
  }
  const Vec<T> d = g / (sqrt(spread) + Vec<T>(a.eps));
  if (!buf) return p - lr * d;
  const Vec<T> b = Vec<T>(a.momentum) * at.load(buf) + d;
  at.store(buf, b);
  return p - lr * b;
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const AdagradRule<T>& a, T* const* state, At at, Vec<T> p, Vec<T> g) {
  T* squares = state[0];
  g = decayed(a, p, g);
  const Vec<T> sum = at.load(squares) + g * g;
  at.store(squares, sum);
  return p - Vec<T>(a.lr) * g / (sqrt(sum) + Vec<T>(a.eps));
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const AdadeltaRule<T>& a, T* const* state, At at, Vec<T> p, Vec<T> g) {
  T *squares = state[0], *delta = state[1];
  const Vec<T> rho(a.rho), fresh(a.fresh), eps(a.eps);
  g = decayed(a, p, g);
  const Vec<T> square = rho * at.load(squares) + fresh * g * g, before = at.load(delta);
  const Vec<T> d = g * sqrt(before + eps) / sqrt(square + eps);
  at.store(squares, square);
  at.store(delta, rho * before + fresh * d * d);
  return p - Vec<T>(a.lr) * d;
}

}  // namespace fnn::FNN_ISA
