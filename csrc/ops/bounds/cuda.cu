#include "ops/bounds/tile.h"

#include "cuda/kernel.cuh"

namespace fnn::cuda {
namespace {

// A minimum of integers: the same whichever thread comes first.
__device__ void lower_to(int64_t* p, int64_t value) {
  atomicMin(reinterpret_cast<long long*>(p), static_cast<long long>(value));
}

template <class T>
void find(Stream& s, const FindOutsideArgs<T>& args) {
  for_each(s, 1, [a = args] __device__(int64_t) { *a.first = a.n; });
  for_each(s, args.n, [a = args] __device__(int64_t i) {
    if (!within(a, a.x[i])) lower_to(a.first, i);
  });
}

}  // namespace

template <class T>
void find_outside(Stream& s, const FindOutsideArgs<T>& a) {
  find(s, a);
}

#include "isa/instantiate.h"
#include "ops/bounds/kernels.inc"

}  // namespace fnn::cuda
