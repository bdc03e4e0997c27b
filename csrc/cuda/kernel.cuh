// What every cuda.cu is written with: starting kernels, and the two loops of elementwise ones.
//
// A row of kernels.inc is a host function here too. It may start several kernels, on its
// stream, and returns before they have run; it never waits. Kernels are compiled without
// contraction of a * b + c, as on the CPU, so that a result's bits do not depend on what its
// formula is fused with: where one rounding is wanted, fma(a, b, c) says so. Shared memory is
// dynamic (async.cuh), and laid out by one struct a kernel.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "core/stream.h"
#include "cuda/async.cuh"
#include "cuda/pack.cuh"

namespace fnn::cuda {

// Throws what the code means, and what was asked; fnn_cuda's runtime defines both.
void check(cudaError_t code, const char* doing);
// Compute capability, 90 for 9.0: of the GPU that is selected, and of the code that runs there, which is
// older where a driver had to make it from PTX. What the code may use is the latter's.
struct Capability {
  int gpu, code;
};
Capability capability();
// Device memory, 256-byte aligned, that lives until the work this kernel queues is done.
void* workspace(Stream& s, size_t bytes);

inline cudaStream_t native(const Stream& s) { return static_cast<cudaStream_t>(s.native); }

constexpr size_t kPlainShared = 48 << 10;  // bytes of shared memory that need not be asked for

// Every launch goes through here, but for clusters (dense_epoch.cu). An empty grid is nothing to do.
template <class... Params, class... Args>
void start(Stream& s, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared, const Args&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (shared > kPlainShared)
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "asking for shared memory");
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = native(s);
  check(cudaLaunchKernelEx(&config, kernel, Params(args)...), "starting a kernel");
}

constexpr int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// As many blocks as `tasks` need, within the limit of a grid: kernels loop over the rest.
inline unsigned blocks_for(int64_t tasks, int64_t per_block) {
  constexpr int64_t kMost = 1 << 16;
  const int64_t blocks = div_up(tasks, per_block);
  return static_cast<unsigned>(blocks < kMost ? blocks : kMost);
}

// This thread's number in a grid of one dimension, and how many threads that has.
__device__ inline int64_t first_task() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t task_stride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

constexpr int kLoopThreads = 256;

template <class F>
__global__ void __launch_bounds__(kLoopThreads) for_each_kernel(int64_t n, F f) {
  for (int64_t i = first_task(); i < n; i += task_stride()) f(i);
}

// f(i) for i in [0, n), f being [=] __device__ (int64_t i) {...}
template <class F>
void for_each(Stream& s, int64_t n, const F& f) {
  start(s, &for_each_kernel<F>, blocks_for(n, kLoopThreads), kLoopThreads, 0, n, f);
}

template <int N, class F>
__global__ void __launch_bounds__(kLoopThreads) for_packs_kernel(int64_t n, F f) {
  for (int64_t i = first_task() * N; i < n; i += task_stride() * N)
    f(PackAt<N>{i, static_cast<int>(n - i < N ? n - i : N)});
}

// f(at) over [0, n) in packs of 16 bytes of T, f being [=] __device__ (auto at) {...} with
// at.load(p) and at.store(p, v) as on the CPU, for arrays of any type.
template <class T, class F>
void for_packs(Stream& s, int64_t n, const F& f) {
  constexpr int N = Vec<T>::N;
  start(s, &for_packs_kernel<N, F>, blocks_for(div_up(n, N), kLoopThreads), kLoopThreads, 0, n, f);
}

}  // namespace fnn::cuda
