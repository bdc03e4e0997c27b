// For the few functions of args.h: every instruction set compiles them, so none may be
// left for the linker to pick one copy of.
#pragma once

// FNN_HOST_INLINE: the same for what no thread of a GPU calls, such as a switch over kernels.
#define FNN_HOST_INLINE inline __attribute__((always_inline))
#if defined(FNN_CUDA)
#include <cuda_runtime.h>
#define FNN_INLINE __host__ __device__ FNN_HOST_INLINE
#else
#define FNN_INLINE FNN_HOST_INLINE
#endif
