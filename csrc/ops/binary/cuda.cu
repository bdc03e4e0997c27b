#include "core/dtype.h"
#include "cuda/strided.cuh"
#include "ops/binary/tile.h"

namespace fnn::cuda {
namespace {

// Operands side by side, or one number for all.
bool flat(const StridedShape<3>& z) {
  const auto plain = [&](int array) { return z.stride[array][0] == 1 || z.stride[array][0] == 0; };
  return z.ndim == 1 && z.stride[0][0] == 1 && plain(1) && plain(2);
}

template <class T, class At>
__device__ auto operand(At at, const T* x, bool repeated) {
  return repeated ? decltype(at.load(x))(*x) : at.load(x);
}

template <class F, class T, class Args>
void run(Stream& s, const Args& args) {
  if (flat(args.shape))
    return for_packs<T>(s, args.shape.numel(), [a = args] __device__(auto at) {
      const auto x = operand(at, a.a, a.shape.stride[1][0] == 0), y = operand(at, a.b, a.shape.stride[2][0] == 0);
      at.store(a.y, each(x, y, F{}));
    });
  for_each_strided(s, args.shape,
                   [a = args] __device__(const int64_t* at) { a.y[at[0]] = F{}(a.a[at[1]], a.b[at[2]]); });
}

}  // namespace

template <class T>
void binary(Stream& s, const BinaryArgs<T>& args) {
  with_binary<T>(args.op, [&](auto f) { run<decltype(f), T>(s, args); });
}

template <class T>
void compare(Stream& s, const CompareArgs<T>& args) {
  with_compare(args.op, [&](auto f) { run<decltype(f), T>(s, args); });
}

#include "isa/instantiate.h"
#include "ops/binary/kernels.inc"

}  // namespace fnn::cuda
