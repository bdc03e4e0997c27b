#include "core/stream.h"
#include "ops/unary/tile.h"

namespace fnn::FNN_ISA {

constexpr int64_t kGrain = 8192;

// What the loops read is copied first: a store might change what a reference leads to.

template <class T>
void unary_fwd(Stream& s, const UnaryFwdArgs<T>& a) {
  with_unary(a.op, [&](auto f) {
    parallel_for(s, a.n, kGrain, [&](int64_t begin, int64_t end) {
      const Vec<T> alpha(a.alpha), beta(a.beta);
      const T* x = a.x;
      T* y = a.y;
      for_vec_to(y, a.n, begin, end, [&](auto at) { at.store(y, f.value(at.load(x), alpha, beta)); });
    });
  });
}

template <class T>
void unary_bwd(Stream& s, const UnaryBwdArgs<T>& a) {
  with_unary(a.op, [&](auto f) {
    parallel_for(s, a.n, kGrain, [&](int64_t begin, int64_t end) {
      const Vec<T> alpha(a.alpha), beta(a.beta);
      const T *xy = a.xy, *dy = a.dy;
      T* dx = a.dx;
      for_vec_to(dx, a.n, begin, end, [&](auto at) { at.store(dx, at.load(dy) * f.slope(at.load(xy), alpha, beta)); });
    });
  });
}

#include "isa/instantiate.h"
#include "ops/unary/kernels.inc"

}  // namespace fnn::FNN_ISA
