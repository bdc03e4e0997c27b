// In place of csrc/cuda/hopper.cuh, which says what these functions are for. What is asynchronous there
// happens here as late as it may: a box is copied when somebody waits for it, and a warp's part of a
// product is made, from what shared memory then holds, when that warp waits. Until then there is poison.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/tensor_map.h"
#include "hopper.h"

namespace fnn::cuda {

constexpr bool kHopper = true;

inline void barrier_init(uint64_t* barrier, int arrivals) { emulation::barrier_init(barrier, arrivals); }
inline void barriers_ready() { emulation::barriers_ready(); }
inline void barrier_arrive(uint64_t* barrier) { emulation::barrier_arrive(barrier, 0); }
inline void barrier_expect(uint64_t* barrier, int bytes) { emulation::barrier_arrive(barrier, bytes); }
inline void barrier_wait(uint64_t* barrier, unsigned parity) { emulation::barrier_wait(barrier, parity); }
inline void meet(int number, int threads) { emulation::meet(number, threads); }
inline void load_box(void* shared, const CUtensorMap* map, int k, int row, uint64_t* barrier) {
  emulation::load_box(shared, *map, k, row, barrier);
}

inline uint64_t matrix_descriptor(const void* shared) {
  const uint64_t address = emulation::shared_address(shared);
  return (address & 0x3ffff) >> 4 | uint64_t{1} << 16 | uint64_t{1024 / 16} << 32 | uint64_t{1} << 62;
}

constexpr int kWgmmaRows = emulation::kProductRows, kWgmmaCols = emulation::kProductCols, kWgmmaBytes = 32;
using WgmmaSums = float[kWgmmaRows * kWgmmaCols / 128];

inline void wgmma_fence(WgmmaSums&) { emulation::wgmma_fence(); }
template <Precision Rounding>
void wgmma(WgmmaSums& d, uint64_t a, uint64_t b) {
  emulation::wgmma(d, a, b, Rounding == Precision::bf16);
}
inline void wgmma_commit() { emulation::wgmma_commit(); }
template <int Groups>
void wgmma_wait(WgmmaSums&) {
  emulation::wgmma_wait(Groups);
}

}  // namespace fnn::cuda
