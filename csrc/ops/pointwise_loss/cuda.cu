#include "cuda/fold.cuh"
#include "ops/pointwise_loss/tile.h"

namespace fnn::cuda {
namespace {

template <class T, class At>
__device__ auto load_or_one(At at, const T* p) {
  return p ? at.load(p) : decltype(at.load(p))(1);
}

template <class Loss, class T>
void forward(Stream& s, const PointwiseLossFwdArgs<T>& args) {
  const auto value = [a = args] __device__(int64_t, auto at) {
    return Loss::value(at.load(a.x), at.load(a.t), load_or_one(at, a.u), load_or_one(at, a.v), Vec<T>(a.alpha));
  };
  if (args.reduce)
    fold_long_rows<Sum<T>, Vec<T>::N>(s, 1, args.n, value, ScaledSum<T>{args.y, args.scale});
  else
    for_packs<T>(s, args.n, [y = args.y, value] __device__(auto at) { at.store(y, value(0, at)); });
}

template <class Loss, class T>
void backward(Stream& s, const PointwiseLossBwdArgs<T>& args) {
  for_packs<T>(s, args.n, [a = args] __device__(auto at) {
    const auto p =
        Loss::partials(at.load(a.x), at.load(a.t), load_or_one(at, a.u), load_or_one(at, a.v), Vec<T>(a.alpha));
    const Vec<T> dy = a.reduce ? Vec<T>(*a.dy * a.scale) : at.load(a.dy);
    if (a.dx) at.store(a.dx, dy * p.dx);
    if (a.dt) at.store(a.dt, dy * p.dt);
    if (a.du) at.store(a.du, dy * p.du);
  });
}

}  // namespace

template <class T>
void pointwise_loss_fwd(Stream& s, const PointwiseLossFwdArgs<T>& a) {
  with_loss(a.kind, [&](auto loss) { forward<decltype(loss)>(s, a); });
}

template <class T>
void pointwise_loss_bwd(Stream& s, const PointwiseLossBwdArgs<T>& a) {
  with_loss(a.kind, [&](auto loss) { backward<decltype(loss)>(s, a); });
}

#include "isa/instantiate.h"
#include "ops/pointwise_loss/kernels.inc"

}  // namespace fnn::cuda
