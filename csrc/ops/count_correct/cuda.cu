#include "ops/count_correct/tile.h"

#include "cuda/reduce.cuh"

namespace fnn::cuda {
namespace {

constexpr int kThreads = 256;

struct Shared {
  int64_t sums[kThreads / kWarp];
};

// One block: a batch has a few hundred rows, and the sum needs no second pass.
template <class T>
__global__ void __launch_bounds__(kThreads) count_kernel(CountCorrectArgs<T> a) {
  int64_t correct = 0;
  for (int64_t i = threadIdx.x; i < a.n; i += kThreads) correct += is_correct(a, i);
  correct = block_sum<kThreads>(correct, shared_memory<Shared>()->sums);
  if (threadIdx.x == 0) *a.correct = correct;
}

}  // namespace

template <class T>
void count_correct(Stream& s, const CountCorrectArgs<T>& a) {
  start(s, &count_kernel<T>, 1, kThreads, sizeof(Shared), a);
}

#include "isa/instantiate.h"
#include "ops/count_correct/kernels.inc"

}  // namespace fnn::cuda
