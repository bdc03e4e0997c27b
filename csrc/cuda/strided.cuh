// Walks several arrays of one shape, each with strides of its own, as tile/strided.h does on
// the CPU: a thread an element, neighbours of the last dimension side by side.
#pragma once

#include "core/strided_shape.h"
#include "cuda/kernel.cuh"

namespace fnn::cuda {

// Division of numbers below 2^31 by one that is known before the kernel starts: a product instead
// of the tens of instructions that GPUs divide with. Granlund and Montgomery, "Division by
// invariant integers using multiplication", PLDI 1994.
struct Divisor {
  uint32_t value = 1, factor = 0;
  int shift = 0;

  Divisor() = default;
  explicit Divisor(int64_t d) : value(static_cast<uint32_t>(d)) {
    while (shift < 31 && (uint32_t{1} << shift) < value) ++shift;
    factor = static_cast<uint32_t>((uint64_t{1} << 32) * ((uint64_t{1} << shift) - value) / value + 1);
  }
  __device__ uint32_t quotient(uint32_t n) const { return (__umulhi(n, factor) + n) >> shift; }
  __device__ friend int32_t operator/(int32_t n, const Divisor& d) {
    return static_cast<int32_t>(d.quotient(static_cast<uint32_t>(n)));
  }
};

// From an element's number to where it is in each array.
template <int Arrays>
struct Walk {
  StridedShape<Arrays> shape;
  Divisor divisor[8];
  bool small;  // fewer than 2^31 elements

  explicit Walk(const StridedShape<Arrays>& z) : shape(z), small(z.numel() < int64_t{1} << 31) {
    for (int d = 0; d < z.ndim && small; ++d) divisor[d] = Divisor(z.size[d]);
  }
  __device__ void offsets(int64_t i, int64_t (&at)[Arrays]) const {
    for (int a = 0; a < Arrays; ++a) at[a] = 0;
    for (int d = shape.ndim - 1; d >= 0; --d) {
      const int64_t next = d == 0  ? 0
                           : small ? int64_t{divisor[d].quotient(static_cast<uint32_t>(i))}
                                   : i / shape.size[d];
      const int64_t here = i - next * shape.size[d];
      for (int a = 0; a < Arrays; ++a) at[a] += here * shape.stride[a][d];
      i = next;
    }
  }
};

template <int Arrays, class F>
__global__ void __launch_bounds__(kLoopThreads) for_each_strided_kernel(int64_t n, Walk<Arrays> walk, F f) {
  for (int64_t i = first_task(); i < n; i += task_stride()) {
    int64_t at[Arrays];
    walk.offsets(i, at);
    f(at);
  }
}

// f(offset of each array) for every element, f being [=] __device__ (const int64_t* at) {...}
template <int Arrays, class F>
void for_each_strided(Stream& s, const StridedShape<Arrays>& shape, const F& f) {
  const int64_t n = shape.numel();
  if (n == 0) return;
  start(s, &for_each_strided_kernel<Arrays, F>, blocks_for(n, kLoopThreads), kLoopThreads, 0, n, Walk<Arrays>(shape),
        f);
}

}  // namespace fnn::cuda
