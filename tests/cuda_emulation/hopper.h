// What cuda/hopper.cuh is made of: barriers in shared memory, boxes of matrices, and products by
// warpgroups. A mistake in their use ends the process, as in execution.h.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace emulation {

// In the window of shared memory.
unsigned shared_address(const void*);

void barrier_init(uint64_t* barrier, int arrivals);
void barriers_ready();
void barrier_arrive(uint64_t* barrier, int promised);  // bytes
void barrier_wait(uint64_t* barrier, unsigned parity);
void meet(int number, int threads);
void load_box(void* shared, const CUtensorMap& map, int col, int row, uint64_t* barrier);

constexpr int kProductRows = 64, kProductCols = 256;

void wgmma_fence();
void wgmma(float* d, uint64_t a, uint64_t b, bool bf16);
void wgmma_commit();
void wgmma_wait(int groups);

// Forgets the block's barriers and products: nothing may be under way.
void end_hopper();

}  // namespace emulation
