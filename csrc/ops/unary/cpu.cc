#include "core/stream.h"
#include "ops/unary/tile.h"

namespace fnn::FNN_ISA {

constexpr int64_t kGrain = 8192;

template <class T>
void unary_fwd(Stream& s, const UnaryFwdArgs<T>& a) {
  with_unary(a.op, [&](auto f) {
    const Vec<T> alpha(a.alpha), beta(a.beta);
    parallel_for(s, a.n, kGrain, [&](int64_t begin, int64_t end) {
      for_vec_to(a.y, a.n, begin, end, [&](auto at) { at.store(a.y, f.value(at.load(a.x), alpha, beta)); });
    });
  });
}

template <class T>
void unary_bwd(Stream& s, const UnaryBwdArgs<T>& a) {
  with_unary(a.op, [&](auto f) {
    const Vec<T> alpha(a.alpha), beta(a.beta);
    parallel_for(s, a.n, kGrain, [&](int64_t begin, int64_t end) {
      for_vec_to(a.dx, a.n, begin, end,
                 [&](auto at) { at.store(a.dx, at.load(a.dy) * f.slope(at.load(a.xy), alpha, beta)); });
    });
  });
}

#include "isa/instantiate.h"
#include "ops/unary/kernels.inc"

}  // namespace fnn::FNN_ISA
