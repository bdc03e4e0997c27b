// Shared memory, and copies into it that the processor carries out by itself (cp.async of
// compute capability 8.0; before, plain ones).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace fnn::cuda {

// The block's dynamic shared memory, as large as start() was told: one struct of T a kernel. Boxes
// (hopper.cuh) begin at multiples of 1024 bytes.
template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(1024) unsigned char fnn_shared[];
  return reinterpret_cast<T*>(fnn_shared);
}

// *shared = *global for Bytes (4, 8 or 16) at addresses that are multiples of it, or zeros
// where the element does not exist (`global` is then not read). The bytes are there for this
// thread after copies_wait, for others after a barrier as well.
template <int Bytes>
__device__ inline void copy_async(void* shared, const void* global, bool exists = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if constexpr (Bytes == 16)  // past the first-level cache
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(exists ? 16 : 0)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(Bytes),
                 "r"(exists ? Bytes : 0)
                 : "memory");
#else
  struct alignas(Bytes) Piece {
    uint32_t word[Bytes / 4];
  };
  *static_cast<Piece*>(shared) = exists ? *static_cast<const Piece*>(global) : Piece{};
#endif
}

// Closes the group of this thread's copies so far.
__device__ inline void copies_commit() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits for this thread's groups but the last Groups ones.
template <int Groups>
__device__ inline void copies_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
#endif
}

}  // namespace fnn::cuda
