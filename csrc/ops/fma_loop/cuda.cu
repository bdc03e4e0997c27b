#include "ops/fma_loop/args.h"

#include "cuda/kernel.cuh"
#include "simd/math.h"

namespace fnn::cuda {
namespace {

// Numbers of a thread at once: enough that it does not wait for its own last result.
constexpr int kNumbers = 8;
constexpr int kThreads = 256;

// A block owns kThreads * kNumbers numbers, a thread every kThreads-th of them.
template <class T>
__global__ void __launch_bounds__(kThreads) fma_loop_kernel(FmaLoopArgs<T> a) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kNumbers) + threadIdx.x;
  if (first >= a.n) return;
  const auto exists = [&](int j) { return first + j * kThreads < a.n; };
  T y[kNumbers];
#pragma unroll
  for (int j = 0; j < kNumbers; ++j) y[j] = exists(j) ? a.x[first + j * kThreads] : T(0);
#pragma unroll 16
  for (int64_t r = 0; r < a.rounds; ++r)
#pragma unroll
    for (int j = 0; j < kNumbers; ++j) y[j] = fma(y[j], a.factor, a.term);
#pragma unroll
  for (int j = 0; j < kNumbers; ++j)
    if (exists(j)) a.y[first + j * kThreads] = y[j];
}

}  // namespace

template <class T>
void fma_loop(Stream& s, const FmaLoopArgs<T>& a) {
  start(s, &fma_loop_kernel<T>, static_cast<unsigned>(div_up(a.n, kThreads * kNumbers)), kThreads, 0, a);
}

#include "isa/instantiate.h"
#include "ops/fma_loop/kernels.inc"

}  // namespace fnn::cuda
