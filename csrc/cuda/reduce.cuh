// Sums and the like over the threads of a warp or a block, in one fixed order: the same bits
// on every run. All threads of the warp or block must call them.
#pragma once

#include <cstring>
#include <type_traits>

#include "cuda/kernel.cuh"

namespace fnn::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffff;

// x of the lane whose number differs in the bits of `apart`; T may be a struct.
template <class T>
__device__ T across(T x, int apart) {
  if constexpr (std::is_arithmetic_v<T>) {
    return __shfl_xor_sync(kAllLanes, x, apart);
  } else {
    static_assert(sizeof(T) % sizeof(int) == 0 && std::is_trivially_copyable_v<T>);
    int word[sizeof(T) / sizeof(int)];
    memcpy(word, &x, sizeof(T));
    for (int& w : word) w = __shfl_xor_sync(kAllLanes, w, apart);
    memcpy(&x, word, sizeof(T));
    return x;
  }
}

// combine(a, b) over the lanes, halves folded onto each other; every lane gets the result, its own
// bits of it where combine cares which of the two comes first. With Lanes < 32 each group of that
// many neighbours is on its own.
template <int Lanes = kWarp, class T, class F>
__device__ T warp_reduce(T x, const F& combine) {
  for (int apart = Lanes / 2; apart > 0; apart /= 2) x = combine(x, across(x, apart));
  return x;
}
template <class T>
__device__ T warp_sum(T x) {
  return warp_reduce(x, [](T a, T b) { return a + b; });
}
// NaN wins.
template <class T>
__device__ T larger(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
__device__ T warp_max(T x) {
  return warp_reduce(x, larger<T>);
}

// The same over the first Threads threads of a block, whole warps of it (at most 1024), through
// shared memory: shared (Threads / 32), which may be used again at once.
template <int Threads, class T, class F>
__device__ T block_reduce(T x, T* shared, const F& combine) {
  static_assert(Threads % kWarp == 0 && Threads <= kWarp * kWarp && (Threads & (Threads - 1)) == 0);
  constexpr int kWarps = Threads / kWarp;
  x = warp_reduce(x, combine);
  if constexpr (kWarps > 1) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    if (lane == 0) shared[threadIdx.x / kWarp] = x;
    __syncthreads();
    x = shared[lane % kWarps];
    x = warp_reduce<kWarps>(x, combine);
    __syncthreads();
  }
  return x;
}
template <int Threads, class T>
__device__ T block_sum(T x, T* shared) {
  return block_reduce<Threads>(x, shared, [](T a, T b) { return a + b; });
}
template <int Threads, class T>
__device__ T block_max(T x, T* shared) {
  return block_reduce<Threads>(x, shared, larger<T>);
}

}  // namespace fnn::cuda
