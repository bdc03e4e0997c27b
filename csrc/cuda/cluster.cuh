// Clusters of compute capability 9.0: blocks that run at the same time and see each other's shared
// memory.
#pragma once

#include <cuda_runtime.h>

namespace fnn::cuda {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define FNN_CLUSTER(instruction)  // no kernel that needs one is started there
#else
#define FNN_CLUSTER(instruction) instruction
#endif

// The block's number in its cluster.
__device__ inline unsigned cluster_rank() {
  unsigned rank = 0;
  FNN_CLUSTER(asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank)));
  return rank;
}

// A barrier for all threads of the cluster, in two halves: what a thread has written before it
// arrives is seen by all that have waited.
__device__ inline void arrive_at_cluster() {
  FNN_CLUSTER(asm volatile("barrier.cluster.arrive.release;" :: : "memory"));
}
__device__ inline void wait_for_cluster() { FNN_CLUSTER(asm volatile("barrier.cluster.wait.acquire;" :: : "memory")); }

// Where block `rank` of the cluster has what is at `own` in this one's shared memory. No block may
// end before the others are done with its memory, which a barrier tells.
template <class T>
__device__ T* peer_memory(T* own, unsigned rank) {
  T* peer = own;
  FNN_CLUSTER(asm("mapa.u64 %0, %1, %2;" : "=l"(peer) : "l"(own), "r"(rank)));
  return peer;
}

#undef FNN_CLUSTER

}  // namespace fnn::cuda
