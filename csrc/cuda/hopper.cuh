// What GPUs of compute capability 9.0 have for products of matrices, and those before and after them
// have not: barriers in shared memory that count bytes, boxes of a matrix that a unit of its own copies
// (the tensor memory accelerator), and products by a whole warpgroup, four neighbouring warps.
//
// Boxes lie in shared memory in rows of 128 bytes, of which piece i of 16 bytes is found at i ^ (row % 8):
// then eight rows of one piece lie in all banks. Tensor maps say so to the one that writes them, and
// matrix_descriptor() to those that read them. Their first row is at a multiple of 1024 bytes.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/tensor_map.h"

namespace fnn::cuda {

// Whether the code at hand is made for them: nothing below is, elsewhere.
#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr bool kHopper = false;
#else
constexpr bool kHopper = true;
#endif

__device__ inline unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

// --- barriers in shared memory -------------------------------------------------------------------

// A phase ends when there were so many arrivals and all bytes that they promised have come; the next
// one begins. Of one thread, then barriers_ready() and __syncthreads().
__device__ inline void barrier_init(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// Shows what this thread has written to shared memory to the units that copy and multiply.
__device__ inline void barriers_ready() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ inline void barrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// Arrives, and promises bytes of copies.
__device__ inline void barrier_expect(uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
// Waits for the end of the phase of that parity: 0 for the first. The one before the first has ended.
__device__ inline void barrier_wait(uint64_t* barrier, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred ended;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n"
      "@!ended bra again;\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// Waits for `threads` threads, whole warps, that come to the barrier of this number, 1 to 15.
__device__ inline void meet(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// --- boxes of a matrix ---------------------------------------------------------------------------

// The box from (row, k) on, with zeros where the matrix has ended. All of the box's bytes count for the
// barrier, whose phase ends when they are there.
__device__ inline void load_box(void* shared, const CUtensorMap* map, int k, int row, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          shared_address(shared)),
      "l"(map), "r"(k), "r"(row), "r"(shared_address(barrier))
      : "memory");
}

// --- products by a warpgroup -----------------------------------------------------------------------

// Of the rows of boxes from `shared` on. Those of numbers 32 bytes further along k are 2 more.
__device__ inline uint64_t matrix_descriptor(const void* shared) {
  constexpr uint64_t kSwizzled = uint64_t{1} << 62, kEightRows = 8 * kSwizzledRow / 16;
  return (shared_address(shared) & 0x3ffff) >> 4 | uint64_t{1} << 16 | kEightRows << 32 | kSwizzled;
}

constexpr int kWgmmaRows = 64, kWgmmaCols = 256, kWgmmaBytes = 32;  // of k, at a time
// A thread's part of the 64 x 256 sums: with warp, g and t = lane % 128 / 32, lane % 32 / 4 and lane % 4,
//   d[i]:  row 16 warp + g + 8 (i / 2 % 2),  column 8 (i / 4) + 2 t + i % 2
// From fence to wait it belongs to the tensor cores.
using WgmmaSums = float[kWgmmaRows * kWgmmaCols / 128];

#define FNN_8(d, i)                                                                                           \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define FNN_32(d, i) FNN_8(d, i), FNN_8(d, i + 8), FNN_8(d, i + 16), FNN_8(d, i + 24)
#define FNN_ALL_SUMS(d) FNN_32(d, 0), FNN_32(d, 32), FNN_32(d, 64), FNN_32(d, 96)
#define FNN_WGMMA(type, and_not_transposed)                            \
  "{\n"                                                                \
  ".reg .pred add;\n"                                                  \
  "setp.eq.u32 add, 1, 1;\n"                                           \
  "wgmma.mma_async.sync.aligned." type                                 \
  " "                                                                  \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, " \
  "%15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, "  \
  "%28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, "  \
  "%41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, "  \
  "%54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, "  \
  "%67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "  \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, "  \
  "%93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, "  \
  "%105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, " \
  "%116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, " \
  "%127}, "                                                            \
  "%128, %129, add, 1, 1" and_not_transposed                           \
  ";\n"                                                                \
  "}"

__device__ inline void wgmma_fence(WgmmaSums& d) {
  asm volatile("wgmma.fence.sync.aligned;" : FNN_ALL_SUMS(d)::"memory");
}
// D (64, 256) += A (64, k) B (k, 256), of numbers from shared memory. The four warps come with the same.
template <Precision Rounding>
__device__ inline void wgmma(WgmmaSums& d, uint64_t a, uint64_t b) {
  if constexpr (Rounding == Precision::bf16)
    asm volatile(FNN_WGMMA("m64n256k16.f32.bf16.bf16", ", 0, 0") : FNN_ALL_SUMS(d) : "l"(a), "l"(b));
  else
    asm volatile(FNN_WGMMA("m64n256k8.f32.tf32.tf32", "") : FNN_ALL_SUMS(d) : "l"(a), "l"(b));
}
// Closes the group of the products so far.
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until this warp's part of all groups but the last Groups ones is done.
template <int Groups>
__device__ inline void wgmma_wait(WgmmaSums& d) {
  asm volatile("wgmma.wait_group.sync.aligned %128;" : FNN_ALL_SUMS(d) : "n"(Groups) : "memory");
}

#undef FNN_WGMMA
#undef FNN_ALL_SUMS
#undef FNN_32
#undef FNN_8

}  // namespace fnn::cuda
