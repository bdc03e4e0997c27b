// One row of a cross-entropy, by a team of threads: its loss and gradient.
#pragma once

#include "ops/cross_entropy/args.h"
#include "ops/softmax/tile.cuh"

namespace fnn::cuda {

// What a row with target t counts: nothing when it is ignored; NaN for a label out of range, which
// the boundary has reported by then.
template <class T>
struct Labels {
  const int64_t* target;  // (n), or null: every row counts 1
  const T* weight;        // (classes), or null
  int64_t classes, ignore_index;

  __device__ bool valid(int64_t t) const { return t >= 0 && t < classes; }
  __device__ T counts(int64_t t) const {
    if (t == ignore_index) return T(0);
    if (!valid(t)) return std::numeric_limits<T>::quiet_NaN();
    return weight ? weight[t] : T(1);
  }
  // load: of packs of rows.
  template <int N>
  __device__ Pack<T, N> operator()(int64_t, PackAt<N> at) const {
    const auto t = at.load(target);
    Pack<T, N> w;
    for (int j = 0; j < N; ++j) w.v[j] = j < at.count() ? counts(t.v[j]) : T(0);
    return w;
  }
};

template <class T, template <class> class Args>
FNN_INLINE Labels<T> labels_of(const Args<T>& a) {
  return {a.target, a.weight, a.classes, a.ignore_index};
}

// Row r of `a`, whose loss and gradient are divided by `divisor` in the mean.
template <class T, int Lanes, int Packs>
__device__ void cross_entropy_row(const CrossEntropyArgs<T>& a, T divisor, const Team<Lanes>& team, int64_t r,
                                  bool exists) {
  constexpr int N = Vec<T>::N;
  const int64_t c = a.classes;
  const Labels<T> labels = labels_of(a);
  const T scale = T(1) / divisor, one(1), uniform = a.smoothing / static_cast<T>(c);
  const int64_t t = exists && a.target ? a.target[r] : 0;
  const bool counts = exists && !(a.target && t == a.ignore_index);
  const Row<T, Lanes, Packs> row(team, a.x + r * c, counts ? c : 0);
  const SoftmaxRow<T> soft = softmax_row(team, row);
  const T shift = soft.max + log(soft.sum);  // -log p_c = shift - x_c

  // Class targets without smoothing have one term; all others a sum over the classes.
  const T hit = counts && a.target ? (one - a.smoothing) * labels.counts(t) : T(0);
  T mass = hit, loss = hit == T(0) ? T(0) : hit * (shift - (labels.valid(t) ? a.x[r * c + t] : T(0)));
  const bool dense = !a.target || uniform != T(0);
  const auto q = [&](auto at) {
    Vec<T> p(uniform);
    if (!a.target) p += Vec<T>(one - a.smoothing) * at.load(a.probabilities + r * c);
    return a.weight ? at.load(a.weight) * p : p;
  };
  if (dense) {
    T masses = 0, losses = 0;
    row.each([&](auto at, const Vec<T>& x) {
      const Vec<T> qs = q(at);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        if (j >= at.count()) continue;
        masses += qs.v[j];
        losses += qs.v[j] == T(0) ? T(0) : qs.v[j] * (shift - x.v[j]);
      }
    });
    mass += team.sum(masses);
    loss += team.sum(losses);
  }
  if (exists && team.lane == 0) a.row_loss[r] = counts ? loss : T(0);
  if (!a.dx || !exists) return;
  T* dx = a.dx + r * c;
  if (!counts) {
    for (int64_t i = team.lane; i < c; i += Lanes) dx[i] = T(0);
    return;
  }
  const T factor = mass * scale / soft.sum;
  row.each([&](auto at, const Vec<T>& x) {
    Vec<T> d = exp(x - Vec<T>(soft.max)) * Vec<T>(factor);
#pragma unroll
    for (int j = 0; j < N; ++j)
      if (a.target && at.i + j == t) d.v[j] -= hit * scale;
    at.store(dx, dense ? d - q(at) * Vec<T>(scale) : d);
  });
}

}  // namespace fnn::cuda
