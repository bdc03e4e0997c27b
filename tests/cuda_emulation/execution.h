// How a grid is carried out on the CPU. Clusters of blocks, mostly of one, run one after another,
// and the threads of one take turns: a thread runs until it must wait for others. In which order
// they get their turn is FASTNN_CUDA_ORDER's choice: "forward", "reverse", or a number to shuffle
// by; whatever the order, a kernel without mistakes computes the same. One with a mistake ends the
// process, and says which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "vector_types.h"

// CUDA's built-in variables, for the thread whose turn it is.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace emulation {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;  // of a block
constexpr unsigned kMaxCluster = 16, kPortableCluster = 8;

struct Grid {
  dim3 blocks, threads;
  unsigned cluster;  // neighbours in x that run together; blocks.x is a multiple of it
  size_t shared_bytes;
  const char* name;  // of the kernel
  std::function<void()> thread;
};
void run(const Grid& grid);

// "emulated CUDA: ..., in block (..) of ...", and the end of the process.
[[noreturn]] void mistake(const char* what);

// The running block's dynamic shared memory: of that exact size, all bytes 0xff at first.
unsigned char* shared_memory();
size_t shared_bytes();

int this_thread();  // its number in the block
// Threads that wait until another one wakes them.
using Sleepers = std::vector<int>;
void sleep(Sleepers&);
void wake(Sleepers&);

// Waits for all threads of the block.
void meet_block();
// Waits for the lanes of `mask`; act(lane, mask) is then called once, lane[i] being what
// lane i gave as `mine`. All must have come with the same act.
using Act = void (*)(void** lane, unsigned mask);
void meet_lanes(unsigned mask, void* mine, Act act);

// The running block's number in its cluster.
unsigned cluster_rank();
// Waits for all threads of the cluster, in two halves.
void arrive_at_cluster();
void wait_for_cluster();
// Where another block of the cluster has what is at `own` in the running one's shared memory. That
// block may not end before a barrier of the cluster has come behind the last use.
void* peer_memory(const void* own, unsigned rank);

// A copy into shared memory that a thread has asked for and that nobody may rely on yet.
struct PendingCopy {
  void* to;
  const void* from;  // null for zeros
  size_t bytes;
  int group;
};
// What the running thread has asked for.
struct Copies {
  std::vector<PendingCopy> pending;
  int group = 0;  // that is being filled
};
Copies& copies();

}  // namespace emulation
