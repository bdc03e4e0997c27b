// The formulas of the optimizers, for the vector `at` of parameter i: p and its gradient g
// become the new p, and the state is moved on.
#pragma once

#include "ops/optimizer/args.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

template <class T, class Args>
FNN_INLINE Vec<T> decayed(const Args& a, Vec<T> p, Vec<T> g) {
  if (a.maximize) g = -g;
  if (a.weight_decay != T(0)) g = g + Vec<T>(a.weight_decay) * p;
  return g;
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const SgdArgs<T>& a, int i, At at, Vec<T> p, Vec<T> g) {
  const Vec<T> lr(a.lr), momentum(a.momentum);
  g = decayed(a, p, g);
  T* buf = a.on.state[0][i];
  if (!buf) return p - lr * g;
  const Vec<T> b = momentum * at.load(buf) + Vec<T>(a.fresh) * g;
  at.store(buf, b);
  return p - lr * (a.nesterov ? g + momentum * b : b);
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const AdamArgs<T>& a, int i, At at, Vec<T> p, Vec<T> g) {
  const auto& [mean, square, largest] = a.on.state;
  if (a.decoupled)
    g = a.maximize ? -g : g;
  else
    g = decayed(a, p, g);
  const Vec<T> m = Vec<T>(a.beta1) * at.load(mean[i]) + Vec<T>(a.fresh1) * g;
  Vec<T> v = Vec<T>(a.beta2) * at.load(square[i]) + Vec<T>(a.fresh2) * g * g;
  at.store(mean[i], m);
  at.store(square[i], v);
  if (largest[i]) {
    v = max(at.load(largest[i]), v);
    at.store(largest[i], v);
  }
  if (a.decoupled) p = p * Vec<T>(a.kept);
  return p - Vec<T>(a.step_size) * m / (sqrt(v) / Vec<T>(a.bias2) + Vec<T>(a.eps));
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const RmspropArgs<T>& a, int i, At at, Vec<T> p, Vec<T> g) {
  const auto& [squares, buf, mean] = a.on.state;
  const Vec<T> lr(a.lr), alpha(a.alpha), fresh(a.fresh);
  g = decayed(a, p, g);
  const Vec<T> square = alpha * at.load(squares[i]) + fresh * g * g;
  at.store(squares[i], square);
  Vec<T> spread = square;
  if (mean[i]) {
    const Vec<T> m = alpha * at.load(mean[i]) + fresh * g;
    at.store(mean[i], m);
    spread = square - m * m;
  }
  const Vec<T> d = g / (sqrt(spread) + Vec<T>(a.eps));
  if (!buf[i]) return p - lr * d;
  const Vec<T> b = Vec<T>(a.momentum) * at.load(buf[i]) + d;
  at.store(buf[i], b);
  return p - lr * b;
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const AdagradArgs<T>& a, int i, At at, Vec<T> p, Vec<T> g) {
  T* squares = a.on.state[0][i];
  g = decayed(a, p, g);
  const Vec<T> sum = at.load(squares) + g * g;
  at.store(squares, sum);
  return p - Vec<T>(a.lr) * g / (sqrt(sum) + Vec<T>(a.eps));
}

template <class T, class At>
FNN_INLINE Vec<T> updated(const AdadeltaArgs<T>& a, int i, At at, Vec<T> p, Vec<T> g) {
  T *squares = a.on.state[0][i], *delta = a.on.state[1][i];
  const Vec<T> rho(a.rho), fresh(a.fresh), eps(a.eps);
  g = decayed(a, p, g);
  const Vec<T> square = rho * at.load(squares) + fresh * g * g, before = at.load(delta);
  const Vec<T> d = g * sqrt(before + eps) / sqrt(square + eps);
  at.store(squares, square);
  at.store(delta, rho * before + fresh * d * d);
  return p - Vec<T>(a.lr) * d;
}

}  // namespace fnn::FNN_ISA
