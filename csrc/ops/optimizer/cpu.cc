#include "ops/optimizer/args.h"

#include "core/stream.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

// f(at, p, g) returns the new p, for every vector of the parameter.
template <class T, class Args, class F>
void update(Stream& s, const Args& a, T decay, const F& f) {
  const Vec<T> weight_decay(decay);
  parallel_for(s, a.n, 16384, [&](int64_t begin, int64_t end) {
    for_vec<T>(begin, end, [&](auto at) {
      const Vec<T> p = at.load(a.p);
      Vec<T> g = at.load(a.grad);
      if (a.maximize) g = -g;
      if (decay != T(0)) g = g + weight_decay * p;
      at.store(a.p, f(at, p, g));
    });
  });
}

template <class T>
void sgd(Stream& s, const SgdArgs<T>& a) {
  const Vec<T> lr(a.lr), momentum(a.momentum), fresh(a.fresh);
  update<T>(s, a, a.weight_decay, [&](auto at, Vec<T> p, Vec<T> g) {
    if (!a.buf) return p - lr * g;
    const Vec<T> buf = momentum * at.load(a.buf) + fresh * g;
    at.store(a.buf, buf);
    return p - lr * (a.nesterov ? g + momentum * buf : buf);
  });
}

template <class T>
void adam(Stream& s, const AdamArgs<T>& a) {
  const Vec<T> beta1(a.beta1), beta2(a.beta2), fresh1(a.fresh1), fresh2(a.fresh2), eps(a.eps), step_size(a.step_size),
      bias2(a.bias2), kept(a.kept);
  update<T>(s, a, a.decoupled ? T(0) : a.weight_decay, [&](auto at, Vec<T> p, Vec<T> g) {
    const Vec<T> m = beta1 * at.load(a.m) + fresh1 * g;
    Vec<T> v = beta2 * at.load(a.v) + fresh2 * g * g;
    at.store(a.m, m);
    at.store(a.v, v);
    if (a.v_max) {
      v = max(at.load(a.v_max), v);
      at.store(a.v_max, v);
    }
    if (a.decoupled) p = p * kept;
    return p - step_size * m / (sqrt(v) / bias2 + eps);
  });
}

template <class T>
void rmsprop(Stream& s, const RmspropArgs<T>& a) {
  const Vec<T> lr(a.lr), alpha(a.alpha), fresh(a.fresh), eps(a.eps), momentum(a.momentum);
  update<T>(s, a, a.weight_decay, [&](auto at, Vec<T> p, Vec<T> g) {
    const Vec<T> square = alpha * at.load(a.s) + fresh * g * g;
    at.store(a.s, square);
    Vec<T> spread = square;
    if (a.mean) {
      const Vec<T> mean = alpha * at.load(a.mean) + fresh * g;
      at.store(a.mean, mean);
      spread = square - mean * mean;
    }
    const Vec<T> d = g / (sqrt(spread) + eps);
    if (!a.buf) return p - lr * d;
    const Vec<T> buf = momentum * at.load(a.buf) + d;
    at.store(a.buf, buf);
    return p - lr * buf;
  });
}

template <class T>
void adagrad(Stream& s, const AdagradArgs<T>& a) {
  const Vec<T> lr(a.lr), eps(a.eps);
  update<T>(s, a, a.weight_decay, [&](auto at, Vec<T> p, Vec<T> g) {
    const Vec<T> sum = at.load(a.s) + g * g;
    at.store(a.s, sum);
    return p - lr * g / (sqrt(sum) + eps);
  });
}

template <class T>
void adadelta(Stream& s, const AdadeltaArgs<T>& a) {
  const Vec<T> lr(a.lr), rho(a.rho), fresh(a.fresh), eps(a.eps);
  update<T>(s, a, a.weight_decay, [&](auto at, Vec<T> p, Vec<T> g) {
    const Vec<T> square = rho * at.load(a.s) + fresh * g * g, before = at.load(a.delta);
    const Vec<T> d = g * sqrt(before + eps) / sqrt(square + eps);
    at.store(a.s, square);
    at.store(a.delta, rho * before + fresh * d * d);
    return p - lr * d;
  });
}

#include "isa/instantiate.h"
#include "ops/optimizer/kernels.inc"

}  // namespace fnn::FNN_ISA
