// Threads, barriers and warps.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "cuda/reduce.cuh"
#include "selftest.h"

using namespace fnn::cuda;
using namespace selftest;

namespace {

__global__ void count_kernel(int* seen) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  atomicAdd(&seen[block * blockDim.x * blockDim.y * blockDim.z + thread], 1);
}

FNN_TEST(every_thread_runs_once) {
  in_every_order([] {
    const Array<int> seen(std::vector<int>(3 * 4 * 5 * 6 * 7 * 2));
    start(stream, &count_kernel, dim3(3, 4, 5), dim3(6, 7, 2), 0, seen.data());
    for (const int n : seen.read()) FNN_EXPECT(n == 1);
  });
}

// y = x, reversed within each block.
__global__ void reverse_kernel(const float* x, float* y, bool with_barrier) {
  float* shared = shared_memory<float>();
  const unsigned n = blockDim.x, base = blockIdx.x * n;
  shared[threadIdx.x] = x[base + threadIdx.x];
  if (with_barrier) __syncthreads();
  y[base + threadIdx.x] = shared[n - 1 - threadIdx.x];
}

bool reverses(bool with_barrier) {
  constexpr size_t kBlocks = 3, kThreads = 96;
  std::vector<float> numbers(kBlocks * kThreads);
  std::iota(numbers.begin(), numbers.end(), 0.f);
  const Array<float> x(numbers), y(numbers.size());
  start(stream, &reverse_kernel, kBlocks, kThreads, kThreads * sizeof(float), x.data(), y.data(), with_barrier);
  const std::vector<float> found = y.read();
  for (size_t i = 0; i < numbers.size(); ++i)
    if (!(found[i] == numbers[i / kThreads * kThreads + kThreads - 1 - i % kThreads])) return false;
  return true;
}

FNN_TEST(barriers_hold) {
  in_every_order([] { FNN_EXPECT(reverses(true)); });
}
FNN_TEST(a_missing_barrier_shows) {
  in_every_order([] { FNN_EXPECT(!reverses(false)); });
}

// A value that is read after the next round has overwritten it: the second barrier is missing.
__global__ void rounds_kernel(int* wrong, bool with_second_barrier) {
  int* shared = shared_memory<int>();
  for (int round = 0; round < 4; ++round) {
    if (threadIdx.x == 0) *shared = round;
    __syncthreads();
    if (*shared != round) atomicAdd(wrong, 1);
    if (with_second_barrier) __syncthreads();
  }
}
FNN_TEST(a_missing_second_barrier_shows) {
  int caught = 0;
  in_every_order([&] {
    const Array<int> right(std::vector<int>(1)), wrong(std::vector<int>(1));
    start(stream, &rounds_kernel, 1, 64, sizeof(int), right.data(), true);
    start(stream, &rounds_kernel, 1, 64, sizeof(int), wrong.data(), false);
    FNN_EXPECT(right.read()[0] == 0);
    caught += wrong.read()[0] != 0;
  });
  FNN_EXPECT(caught > 0);
}

__global__ void warp_kernel(int* y) {
  const int lane = static_cast<int>(threadIdx.x) % 32, x = 100 + lane;
  int* row = y + 8 * threadIdx.x;
  row[0] = __shfl_sync(kAllLanes, x, 5);
  row[1] = __shfl_sync(kAllLanes, x, 9, 8);
  row[2] = __shfl_xor_sync(kAllLanes, x, 3);
  row[3] = __shfl_down_sync(kAllLanes, x, 4, 16);
  row[4] = __shfl_up_sync(kAllLanes, x, 4, 16);
  row[5] = static_cast<int>(__ballot_sync(kAllLanes, lane % 3 == 0));
  const unsigned half = lane < 16 ? 0xffffu : 0xffff0000u;  // two groups, apart from each other
  row[6] = lane < 16 ? __shfl_xor_sync(half, x, 1) : __shfl_xor_sync(half, x, 2);
  row[7] =
      __any_sync(kAllLanes, lane == 7) + 2 * __all_sync(kAllLanes, lane < 32) + 4 * __all_sync(kAllLanes, lane < 31);
}
FNN_TEST(lanes_exchange_values) {
  in_every_order([] {
    const Array<int> y(64 * 8);
    start(stream, &warp_kernel, 1, 64, 0, y.data());
    const std::vector<int> found = y.read();
    for (int i = 0; i < 64; ++i) {
      const int* row = &found[static_cast<size_t>(8 * i)];
      const int lane = i % 32;
      FNN_EXPECT(row[0] == 105);
      FNN_EXPECT(row[1] == 100 + lane / 8 * 8 + 1);
      FNN_EXPECT(row[2] == 100 + (lane ^ 3));
      FNN_EXPECT(row[3] == 100 + (lane % 16 + 4 < 16 ? lane + 4 : lane));
      FNN_EXPECT(row[4] == 100 + (lane % 16 >= 4 ? lane - 4 : lane));
      FNN_EXPECT(row[5] == 0x49249249);
      FNN_EXPECT(row[6] == 100 + (lane < 16 ? lane ^ 1 : lane ^ 2));
      FNN_EXPECT(row[7] == 3);
    }
  });
}

__global__ void sums_kernel(const float* x, float* y) {
  float* shared = shared_memory<float>();
  const float sum = block_sum<128>(x[threadIdx.x], shared), max = block_max<128>(x[threadIdx.x], shared);
  const float warp = warp_sum(x[threadIdx.x]);
  y[3 * threadIdx.x] = sum;
  y[3 * threadIdx.x + 1] = max;
  y[3 * threadIdx.x + 2] = warp;
}
FNN_TEST(reductions_have_the_same_bits) {
  std::vector<float> numbers(128), first;
  for (size_t i = 0; i < 128; ++i) numbers[i] = std::sin(static_cast<float>(i)) * 10.f;
  const Array<float> x(numbers);
  in_every_order([&] {
    const Array<float> y(3 * 128);
    start(stream, &sums_kernel, 1, 128, 4 * sizeof(float), x.data(), y.data());
    const std::vector<float> found = y.read();
    if (first.empty()) first = found;
    FNN_EXPECT(found == first);
  });
  double sum = 0, warp = 0;
  for (size_t i = 0; i < 128; ++i) (i < 32 ? warp : sum) += numbers[i];
  for (size_t i = 0; i < 128; ++i) {
    FNN_EXPECT(std::abs(first[3 * i] - (sum + warp)) < 1e-4);
    FNN_EXPECT(first[3 * i + 1] == *std::max_element(numbers.begin(), numbers.end()));
  }
  FNN_EXPECT(std::abs(first[2] - warp) < 1e-4);
  numbers[77] = std::nanf("");
  const Array<float> with_nan(numbers), y(3 * 128);
  start(stream, &sums_kernel, 1, 128, 4 * sizeof(float), with_nan.data(), y.data());
  FNN_EXPECT(std::isnan(y.read()[0]) && std::isnan(y.read()[1]));
}

enum class Mistake { lanes_left_out, absent_lanes, early_end, barrier_in_branch, two_functions };
__global__ void mistaken_kernel(Mistake m) {
  const int i = static_cast<int>(threadIdx.x);
  switch (m) {
    case Mistake::lanes_left_out:
      if (i < 16) __shfl_sync(kAllLanes, i, 0);
      return;
    case Mistake::absent_lanes: __shfl_sync(kAllLanes, i, 0); return;
    case Mistake::early_end:
      if (i < 16) return;
      __syncthreads();
      return;
    case Mistake::barrier_in_branch:
      if (i < 16)
        __syncthreads();
      else
        __syncwarp();
      return;
    case Mistake::two_functions:
      if (i < 16)
        __shfl_sync(kAllLanes, i, 0);
      else
        __ballot_sync(kAllLanes, i);
      return;
  }
}
FNN_TEST(threads_that_part_are_caught) {
  const auto run = [](Mistake m, int threads) { return [=] { start(stream, &mistaken_kernel, 2, threads, 0, m); }; };
  in_every_order([&] {
    expect_end(run(Mistake::lanes_left_out, 32), "lanes wait for others of their mask");
    expect_end(run(Mistake::absent_lanes, 40), "a mask names lanes");
    expect_end(run(Mistake::early_end, 64), "they have ended");
    expect_end(run(Mistake::barrier_in_branch, 64), "others for lanes of their warp");
    expect_end(run(Mistake::two_functions, 64), "different functions");
  });
  expect_end(run(Mistake::early_end, 64), "in block (0, 0, 0)");
}

__global__ void deep_kernel(float* y) {
  float big[2000];
  for (int i = 0; i < 2000; ++i) big[i] = static_cast<float>(i) * y[0];
  __syncthreads();
  y[threadIdx.x] += big[threadIdx.x];
}
FNN_TEST(a_thousand_threads_with_large_frames) {
  const Array<float> y(std::vector<float>(1024, 0.f));
  start(stream, &deep_kernel, 1, 1024, 0, y.data());
  FNN_EXPECT(y.read()[1023] == 0.f);
}

}  // namespace
