#include "ops/softmax/args.h"
#include "ops/softmax/tile.cuh"

namespace fnn::cuda {
namespace {

template <class T, int Lanes, int Packs>
__global__ void __launch_bounds__(Team<Lanes>::kThreads) softmax_fwd_kernel(SoftmaxFwdArgs<T> a) {
  const Team<Lanes> team;
  team.for_rows(a.rows, [&](int64_t r, bool exists) {
    const Row<T, Lanes, Packs> x(team, a.x + r * a.n, exists ? a.n : 0);
    const SoftmaxRow<T> soft = softmax_row(team, x);
    const Vec<T> top(soft.max), scale(a.log ? log(soft.sum) : T(1) / soft.sum);
    x.each([&](auto at, const Vec<T>& x) { at.store(a.y + r * a.n, a.log ? x - top - scale : exp(x - top) * scale); });
  });
}

template <class T, int Lanes, int Packs>
__global__ void __launch_bounds__(Team<Lanes>::kThreads) softmax_bwd_kernel(SoftmaxBwdArgs<T> a) {
  const Team<Lanes> team;
  team.for_rows(a.rows, [&](int64_t r, bool exists) {
    const T* y = a.y + r * a.n;
    const Row<T, Lanes, Packs> dy(team, a.dy + r * a.n, exists ? a.n : 0);
    T total = 0;
    dy.each([&](auto at, const Vec<T>& dy) {
      const Vec<T> terms = a.log ? dy : dy * at.load(y);
      for (int j = 0; j < Vec<T>::N; ++j)
        if (j < at.count()) total += terms.v[j];
    });
    const Vec<T> all(team.sum(total));
    dy.each([&](auto at, const Vec<T>& dy) {  // y is still in the first-level cache
      at.store(a.dx + r * a.n, a.log ? dy - exp(at.load(y)) * all : at.load(y) * (dy - all));
    });
  });
}

}  // namespace

template <class T>
void softmax_fwd(Stream& s, const SoftmaxFwdArgs<T>& a) {
  by_length<T>(a.n,
               [&]<int Lanes, int Packs>() { start_teams<Lanes>(s, &softmax_fwd_kernel<T, Lanes, Packs>, a.rows, a); });
}

template <class T>
void softmax_bwd(Stream& s, const SoftmaxBwdArgs<T>& a) {
  by_length<T>(a.n,
               [&]<int Lanes, int Packs>() { start_teams<Lanes>(s, &softmax_bwd_kernel<T, Lanes, Packs>, a.rows, a); });
}

#include "isa/instantiate.h"
#include "ops/softmax/kernels.inc"

}  // namespace fnn::cuda
