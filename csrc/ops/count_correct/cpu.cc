#include "ops/count_correct/tile.h"

#include "core/dtype.h"
#include "core/stream.h"

namespace fnn::FNN_ISA {

template <class T>
void count_correct(Stream&, const CountCorrectArgs<T>& a) {
  int64_t correct = 0;
  for (int64_t i = 0; i < a.n; ++i) correct += is_correct(a, i);
  *a.correct = correct;
}

#include "isa/instantiate.h"
#include "ops/count_correct/kernels.inc"

}  // namespace fnn::FNN_ISA
