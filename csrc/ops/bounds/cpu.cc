#include "ops/bounds/tile.h"

#include "core/dtype.h"
#include "core/stream.h"

namespace fnn::FNN_ISA {

template <class T>
void find_outside(Stream&, const FindOutsideArgs<T>& a) {
  constexpr int64_t kBlock = 64;  // without a branch, so that the compiler takes vectors
  int64_t i = 0;
  for (; i + kBlock <= a.n; i += kBlock) {
    bool all = true;
    for (int64_t k = i; k < i + kBlock; ++k) all &= within(a, a.x[k]);
    if (!all) break;
  }
  while (i < a.n && within(a, a.x[i])) ++i;
  *a.first = i;
}

#include "isa/instantiate.h"
#include "ops/bounds/kernels.inc"

}  // namespace fnn::FNN_ISA
