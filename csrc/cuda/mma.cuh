// Products of small matrices by the tensor cores: functions of a whole warp, each lane of which
// holds a part ("fragment") of every matrix, as the PTX manual lays them out. With g = lane / 4
// and t = lane % 4, register i of the 16 x 8 sums is
//   d[i]:  row g + 8 (i / 2),  column 2 t + i % 2.
// Before compute capability 8.0 the lanes compute the same with shuffles, at a tenth of the speed.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace fnn::cuda {

// The nearest number of TF32 (10 bits of mantissa), as a register of mma_tf32.
__device__ inline uint32_t to_tf32(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
#else
  const uint32_t bits = __float_as_uint(x);
  return x != x ? 0x7fffffff : (bits << 1) == 0xff000000 ? bits : (bits + 0x1000) & 0xffffe000;
#endif
}

// x rounded to bfloat16, to nearest and even; NaN stays one.
__device__ inline uint32_t bf16_bits(float x) {
  const uint32_t bits = __float_as_uint(x);
  return (x != x ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
// Two numbers as a register of mma_bf16; the first is the one of lower index.
__device__ inline uint32_t pack_bf16(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32_t y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(second), "f"(first));
  return y;
#else
  return bf16_bits(first) | bf16_bits(second) << 16;
#endif
}

namespace without_tensor_cores {

__device__ inline float ask(uint32_t x, int lane) { return __uint_as_float(__shfl_sync(0xffffffff, x, lane)); }

// One step of k: the element of `a` that lane 4 row + from has, and that of `b` in lane 4 column + from.
__device__ inline void add_products(float (&d)[4], uint32_t a, uint32_t a_below, uint32_t b, int from) {
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const float x = ask(a, 4 * g + from), x_below = ask(a_below, 4 * g + from);
  const float y = ask(b, 8 * t + from), y_right = ask(b, 8 * t + 4 + from);
  d[0] = fmaf(x, y, d[0]);
  d[1] = fmaf(x, y_right, d[1]);
  d[2] = fmaf(x_below, y, d[2]);
  d[3] = fmaf(x_below, y_right, d[3]);
}

}  // namespace without_tensor_cores

// D (16, 8) += A (16, 8) B (8, 8) of TF32:
//   a[i]:  row g + 8 (i % 2),  column t + 4 (i / 2)
//   b[i]:  row t + 4 i,  column g
__device__ inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  constexpr uint32_t kKept = 0xffffe000;
  for (int k = 0; k < 8; ++k) {
    const int half = k / 4;
    without_tensor_cores::add_products(d, a[2 * half] & kKept, a[2 * half + 1] & kKept, b[half] & kKept, k % 4);
  }
#endif
}

// D (16, 8) += A (16, 16) B (16, 8) of bfloat16, two in a register (j = 0, 1):
//   a[i]:  row g + 8 (i % 2),  column 2 t + j + 8 (i / 2)
//   b[i]:  row 2 t + j + 8 i,  column g
__device__ inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  for (int k = 0; k < 16; ++k) {
    const int half = k / 8, up = k % 2 ? 0 : 16;
    without_tensor_cores::add_products(d, a[2 * half] << up & 0xffff0000, a[2 * half + 1] << up & 0xffff0000,
                                       b[half] << up & 0xffff0000, k % 8 / 2);
  }
#endif
}

// Loads Matrices (1, 2 or 4) of 8 x 8 numbers of 16 bits from shared memory: lane i gives the
// address, a multiple of 16 bytes, of row i % 8 of matrix i / 8. Of matrix i, r[i] gets the two
// at row g, columns 2 t and 2 t + 1; Transposed, those at column g, rows 2 t and 2 t + 1.
// Half of a TF32 fragment is such a matrix of 8 x 4 numbers, not transposed.
template <int Matrices, bool Transposed = false>
__device__ inline void load_matrices(uint32_t (&r)[Matrices], const void* row) {
  static_assert(Matrices == 1 || Matrices == 2 || Matrices == 4);
  const unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (Matrices == 4 && !Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  else if constexpr (Matrices == 4)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  else if constexpr (Matrices == 2 && !Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(at)
                 : "memory");
  else if constexpr (Matrices == 2)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(at)
                 : "memory");
  else if constexpr (!Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(at) : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(at) : "memory");
}

}  // namespace fnn::cuda
