#include "cuda/kernel.cuh"
#include "ops/unary/tile.h"

namespace fnn::cuda {
namespace {

template <class F, class T>
void forward(Stream& s, const UnaryFwdArgs<T>& args) {
  for_packs<T>(s, args.n, [a = args] __device__(auto at) {
    at.store(a.y, F::value(at.load(a.x), Vec<T>(a.alpha), Vec<T>(a.beta)));
  });
}

template <class F, class T>
void backward(Stream& s, const UnaryBwdArgs<T>& args) {
  for_packs<T>(s, args.n, [a = args] __device__(auto at) {
    at.store(a.dx, at.load(a.dy) * F::slope(at.load(a.xy), Vec<T>(a.alpha), Vec<T>(a.beta)));
  });
}

}  // namespace

template <class T>
void unary_fwd(Stream& s, const UnaryFwdArgs<T>& a) {
  with_unary(a.op, [&](auto f) { forward<decltype(f)>(s, a); });
}

template <class T>
void unary_bwd(Stream& s, const UnaryBwdArgs<T>& a) {
  with_unary(a.op, [&](auto f) { backward<decltype(f)>(s, a); });
}

#include "isa/instantiate.h"
#include "ops/unary/kernels.inc"

}  // namespace fnn::cuda
