#include "ops/softmax/args.h"

#include "core/stream.h"
#include "ops/softmax/tile.h"

namespace fnn::FNN_ISA {

template <class T>
void softmax_fwd(Stream& s, const SoftmaxFwdArgs<T>& a) {
  constexpr int N = Vec<T>::N;  // rows whose logarithms are taken at once
  parallel_for(s, a.rows, (4096 / (a.n + 1) / N + 1) * N, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += N) {
      const int64_t last = first + N < end ? first + N : end;
      T top[N], total[N] = {};
      for (int64_t r = first; r < last; ++r) {
        const SoftmaxRow<T> row = softmax_row(a.x + r * a.n, a.n, a.log ? nullptr : a.y + r * a.n);
        top[r - first] = row.max;
        total[r - first] = a.log ? row.sum : T(1) / row.sum;
      }
      if (a.log) log(Vec<T>::load(total)).store(total);
      for (int64_t r = first; r < last; ++r) {
        const Vec<T> shift(top[r - first]), scale(total[r - first]);
        const T* x = (a.log ? a.x : a.y) + r * a.n;
        for_vec<T>(0, a.n,
                   [&](auto at) { at.store(a.y + r * a.n, a.log ? at.load(x) - shift - scale : at.load(x) * scale); });
      }
    }
  });
}

template <class T>
void softmax_bwd(Stream& s, const SoftmaxBwdArgs<T>& a) {
  parallel_for(s, a.rows, 4096 / (a.n + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T *y = a.y + r * a.n, *dy = a.dy + r * a.n;
      Vec<T> total(0);
      for_vec<T>(0, a.n, [&](auto at) { total += a.log ? at.load(dy) : at.load(dy) * at.load(y); });
      const Vec<T> all(sum(total));
      for_vec<T>(0, a.n, [&](auto at) {
        at.store(a.dx + r * a.n, a.log ? at.load(dy) - exp(at.load(y)) * all : at.load(y) * (at.load(dy) - all));
      });
    }
  });
}

#include "isa/instantiate.h"
#include "ops/softmax/kernels.inc"

}  // namespace fnn::FNN_ISA
