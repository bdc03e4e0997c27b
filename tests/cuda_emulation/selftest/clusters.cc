// Clusters: blocks that run together.
#include "cuda/cluster.cuh"
#include "selftest.h"

using namespace fnn::cuda;
using namespace selftest;

namespace {

template <class... Params, class... Args>
cudaError_t launch(unsigned blocks, unsigned cluster, unsigned threads, size_t shared, void (*kernel)(Params...),
                   const Args&... args) {
  cudaLaunchAttribute size = {};
  size.id = cudaLaunchAttributeClusterDimension;
  size.val.clusterDim = {cluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared;
  config.attrs = &size;
  config.numAttrs = 1;
  const cudaError_t code = cudaLaunchKernelEx(&config, kernel, Params(args)...);
  cudaGetLastError();
  return code;
}

// Numbers go round: every thread hands its block's on to the next block of the cluster.
enum class Leaves { out_nothing, out_second_half, out_first_barrier, out_last_barrier };
__global__ void round_kernel(int* y, unsigned cluster, int rounds, Leaves leaves) {
  int* const shared = shared_memory<int>();  // (2, threads)
  const unsigned rank = cluster_rank(), i = threadIdx.x, n = blockDim.x, block = blockIdx.x;
  int value = static_cast<int>(1000 * block + i);
  for (int round = 0; round < rounds; ++round) {
    int* const mine = shared + (leaves == Leaves::out_second_half ? 0 : round % 2 * n);
    mine[i] = value;
    if (leaves != Leaves::out_first_barrier) arrive_at_cluster();
    if (leaves != Leaves::out_first_barrier) wait_for_cluster();
    value = peer_memory(mine, (rank + 1) % cluster)[n - 1 - i];
  }
  if (leaves != Leaves::out_last_barrier) arrive_at_cluster();
  if (leaves != Leaves::out_last_barrier) wait_for_cluster();
  y[block * n + i] = value;
}

bool goes_round(unsigned cluster, int rounds, Leaves leaves) {
  constexpr unsigned kThreads = 40;
  const unsigned blocks = 2 * cluster;
  const Array<int> y(blocks * kThreads);
  FNN_EXPECT(launch(blocks, cluster, kThreads, 2 * kThreads * sizeof(int), &round_kernel, y.data(), cluster, rounds,
                    leaves) == cudaSuccess);
  const std::vector<int> found = y.read();
  for (unsigned b = 0; b < blocks; ++b)
    for (unsigned i = 0; i < kThreads; ++i) {
      const unsigned first = b / cluster * cluster,
                     from = first + (b - first + static_cast<unsigned>(rounds)) % cluster;
      const unsigned thread = rounds % 2 ? kThreads - 1 - i : i;
      if (found[b * kThreads + i] != static_cast<int>(1000 * from + thread)) return false;
    }
  return true;
}

FNN_TEST(blocks_of_a_cluster_exchange_values) {
  const With hopper("FASTNN_CUDA_CAPABILITY", "90");
  in_every_order([] {
    for (const unsigned cluster : {1u, 2u, 5u, 8u})
      for (const int rounds : {1, 4}) FNN_EXPECT(goes_round(cluster, rounds, Leaves::out_nothing));
  });
}

FNN_TEST(a_missing_barrier_of_the_cluster_shows) {
  const With hopper("FASTNN_CUDA_CAPABILITY", "90");
  in_every_order([] { FNN_EXPECT(!goes_round(2, 1, Leaves::out_first_barrier)); });
}

FNN_TEST(a_block_that_gets_ahead_shows) {
  const With hopper("FASTNN_CUDA_CAPABILITY", "90");
  in_every_order([] { FNN_EXPECT(!goes_round(3, 4, Leaves::out_second_half)); });
}

FNN_TEST(a_block_outlives_the_use_of_its_memory) {
  const With hopper("FASTNN_CUDA_CAPABILITY", "90");
  in_every_order([] { expect_end([] { goes_round(3, 2, Leaves::out_last_barrier); }, "cluster"); });
}

enum class Mistake { absent_block, own_memory, waits_for_nobody, arrives_twice, never_waits, early_end, two_barriers };
__global__ void mistaken_kernel(Mistake m) {
  float* const shared = shared_memory<float>();
  const bool first = cluster_rank() == 0;
  switch (m) {
    case Mistake::absent_block: peer_memory(shared, 2); break;
    case Mistake::own_memory: peer_memory(shared + blockDim.x, 1); break;
    case Mistake::waits_for_nobody: wait_for_cluster(); return;
    case Mistake::arrives_twice: arrive_at_cluster(); break;
    case Mistake::never_waits: arrive_at_cluster(); return;
    case Mistake::early_end:
      if (first) return;
      break;
    case Mistake::two_barriers:
      if (first) __syncthreads();
      if (first && threadIdx.x < 4) __syncthreads();
      break;
  }
  arrive_at_cluster();
  wait_for_cluster();
}
FNN_TEST(mistakes_with_clusters_are_caught) {
  const With hopper("FASTNN_CUDA_CAPABILITY", "90");
  const auto run = [](Mistake m) { return [m] { launch(2, 2, 8, 32, &mistaken_kernel, m); }; };
  in_every_order([&] {
    expect_end(run(Mistake::absent_block), "no block of that number");
    expect_end(run(Mistake::own_memory), "own shared memory");
    expect_end(run(Mistake::waits_for_nobody), "without having arrived");
    expect_end(run(Mistake::arrives_twice), "arrives twice");
    expect_end(run(Mistake::never_waits), "between its arrival");
    expect_end(run(Mistake::early_end), "barrier of the cluster that others never reach");
    expect_end(run(Mistake::two_barriers), "some threads wait at a barrier");
  });
}

__global__ void write_kernel(int at) {
  if (cluster_rank() == 1) peer_memory(shared_memory<float>(), 0)[at] = 1;
  arrive_at_cluster();
  wait_for_cluster();
}
FNN_TEST(writes_beside_the_memory_of_a_peer_are_caught) {
  const With hopper("FASTNN_CUDA_CAPABILITY", "90");
  for (const int at : {-1, 8}) expect_end([&] { launch(2, 2, 8, 32, &write_kernel, at); }, "beside the shared memory");
  FNN_EXPECT(launch(2, 2, 8, 32, &write_kernel, 7) == cudaSuccess);
}

FNN_TEST(launches_of_clusters_are_checked) {
  FNN_EXPECT(launch(2, 2, 8, 32, &write_kernel, 7) == cudaErrorNotSupported);  // an 8.0
  const With hopper("FASTNN_CUDA_CAPABILITY", "90");
  FNN_EXPECT(launch(3, 2, 8, 32, &write_kernel, 7) == cudaErrorInvalidClusterSize);
  FNN_EXPECT(launch(16, 16, 8, 32, &write_kernel, 7) == cudaErrorInvalidClusterSize);
  FNN_EXPECT(cudaFuncSetAttribute(reinterpret_cast<const void*>(&write_kernel),
                                  cudaFuncAttributeNonPortableClusterSizeAllowed, 1) == cudaSuccess);
  FNN_EXPECT(launch(16, 16, 8, 32, &write_kernel, 7) == cudaSuccess);
}

}  // namespace
