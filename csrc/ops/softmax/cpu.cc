#include "ops/softmax/args.h"

#include "core/stream.h"
#include "ops/softmax/tile.h"

namespace fnn::FNN_ISA {

template <class T>
void softmax_fwd(Stream& s, const SoftmaxFwdArgs<T>& a) {
  parallel_for(s, a.rows, 4096 / (a.n + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* x = a.x + r * a.n;
      const SoftmaxRow<T> row = softmax_row(x, a.n);
      if (a.log) {
        const Vec<T> shift(row.max), scale = log(Vec<T>(row.sum));
        for_vec<T>(0, a.n, [&](auto at) { at.store(a.y + r * a.n, at.load(x) - shift - scale); });
      } else {
        const Vec<T> shift(row.max), scale(T(1) / row.sum);
        for_vec<T>(0, a.n, [&](auto at) { at.store(a.y + r * a.n, exp(at.load(x) - shift) * scale); });
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
