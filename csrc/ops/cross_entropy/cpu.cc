#include "ops/cross_entropy/args.h"

#include "core/stream.h"
#include "ops/softmax/tile.h"
#include "tile/reduce.h"

namespace fnn::FNN_ISA {

// What the mean divides by: the weights of the rows that count, or their number.
template <class T>
T total_weight(int64_t n, const int64_t* target, const T* weight, int64_t ignore_index) {
  if (!target) return static_cast<T>(n);
  T total = 0;
  for (int64_t i = 0; i < n; ++i)
    if (target[i] != ignore_index) total += weight ? weight[target[i]] : T(1);
  return total;
}

template <class T>
void finish(const T* row_loss, int64_t n, Reduction reduction, T divisor, T* loss) {
  if (reduction != Reduction::none) *loss = row_sum(row_loss, n) / divisor;
}

template <class T>
void cross_entropy(Stream& s, const CrossEntropyArgs<T>& a) {
  constexpr int N = Vec<T>::N;  // rows whose logarithms are taken at once
  const int64_t c = a.classes;
  const T divisor = a.reduction == Reduction::mean ? total_weight(a.n, a.target, a.weight, a.ignore_index) : T(1);
  const T scale = T(1) / divisor, uniform = a.smoothing / static_cast<T>(c), one(1);
  const auto counts = [&](int64_t i) { return !a.target || a.target[i] != a.ignore_index; };
  const auto row = [&](int64_t i, const SoftmaxRow<T>& soft, T log_sum) {
    const T* x = a.x + i * c;
    const int64_t t = a.target ? a.target[i] : -1;
    const T shift = soft.max + log_sum;  // -log p_c = shift - x_c
    const T hit = a.target ? (one - a.smoothing) * (a.weight ? a.weight[t] : one) : T(0);

    // Class targets without smoothing have one term; all others a sum over the classes.
    T mass = hit, loss = hit * (shift - (a.target ? x[t] : T(0)));
    if (a.target && hit == T(0)) loss = 0;
    const bool dense = !a.target || uniform != T(0);
    const auto q = [&](int64_t j) {
      const T p = a.target ? uniform : (one - a.smoothing) * a.probabilities[i * c + j] + uniform;
      return a.weight ? a.weight[j] * p : p;
    };
    for (int64_t j = 0; dense && j < c; ++j) {
      mass += q(j);
      loss += q(j) == T(0) ? T(0) : q(j) * (shift - x[j]);
    }
    a.row_loss[i] = loss;
    if (!a.dx) return;
    T* dx = a.dx + i * c;  // as yet exp(x - max)
    const Vec<T> factor(mass * scale / soft.sum);
    for_vec<T>(0, c, [&](auto at) { at.store(dx, at.load(dx) * factor); });
    if (a.target) dx[t] -= hit * scale;
    for (int64_t j = 0; dense && j < c; ++j) dx[j] -= q(j) * scale;
  };
  parallel_for(s, a.n, (2048 / (c + 1) / N + 1) * N, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += N) {
      const int64_t last = first + N < end ? first + N : end;
      SoftmaxRow<T> soft[N];
      T log_sum[N] = {};
      for (int64_t i = first; i < last; ++i) {
        if (!counts(i)) continue;
        soft[i - first] = softmax_row(a.x + i * c, c, a.dx ? a.dx + i * c : nullptr);
        log_sum[i - first] = soft[i - first].sum;
      }
      log(Vec<T>::load(log_sum)).store(log_sum);
      for (int64_t i = first; i < last; ++i) {
        if (counts(i)) {
          row(i, soft[i - first], log_sum[i - first]);
          continue;
        }
        a.row_loss[i] = 0;
        for (int64_t j = 0; a.dx && j < c; ++j) a.dx[i * c + j] = 0;
      }
    }
  });
  finish(a.row_loss, a.n, a.reduction, divisor, a.loss);
}

template <class T>
void scale_rows(Stream& s, const ScaleRowsArgs<T>& a) {
  parallel_for(s, a.n, 16384 / (a.width + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Vec<T> scale(a.dy[a.single ? 0 : i]);
      for_vec<T>(i * a.width, (i + 1) * a.width, [&](auto at) { at.store(a.dx, at.load(a.x) * scale); });
    }
  });
}

template <class T>
void nll_fwd(Stream&, const NllFwdArgs<T>& a) {
  const T divisor = a.reduction == Reduction::mean ? total_weight(a.n, a.target, a.weight, a.ignore_index) : T(1);
  for (int64_t i = 0; i < a.n; ++i) {
    const int64_t t = a.target[i];
    a.row_loss[i] = t == a.ignore_index ? T(0) : -a.x[i * a.classes + t] * (a.weight ? a.weight[t] : T(1));
  }
  finish(a.row_loss, a.n, a.reduction, divisor, a.loss);
}

template <class T>
void nll_bwd(Stream&, const NllBwdArgs<T>& a) {
  const T divisor = a.reduction == Reduction::mean ? total_weight(a.n, a.target, a.weight, a.ignore_index) : T(1);
  for (int64_t i = 0; i < a.n * a.classes; ++i) a.dx[i] = 0;
  for (int64_t i = 0; i < a.n; ++i) {
    const int64_t t = a.target[i];
    if (t == a.ignore_index) continue;
    const T dy = a.dy[a.reduction == Reduction::none ? i : 0] / divisor;
    a.dx[i * a.classes + t] = -dy * (a.weight ? a.weight[t] : T(1));
  }
}

#include "isa/instantiate.h"
#include "ops/cross_entropy/kernels.inc"

}  // namespace fnn::FNN_ISA
