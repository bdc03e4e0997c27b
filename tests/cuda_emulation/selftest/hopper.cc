// Barriers in shared memory, boxes of matrices and products by warpgroups, in right use and wrong.
#include "cuda/hopper.cuh"

#include <cmath>

#include "../../../csrc/cuda/tensor_map.cu"
#include "cuda/mma.cuh"
#include "selftest.h"

using namespace fnn::cuda;
using namespace selftest;
using fnn::Precision;

namespace {

constexpr int kWarpgroup = 128;

// Numbers go from the first warpgroup to the second one at a time, by a place in shared memory.
struct Handed {
  uint64_t full, empty;
  int number, sum[kWarpgroup];
};
__global__ void hand_kernel(int rounds, bool waits, int* y) {
  Handed& shared = *shared_memory<Handed>();
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    barrier_init(&shared.full, 1);
    barrier_init(&shared.empty, kWarpgroup);
  }
  __syncthreads();
  int sum = 0;
  for (int i = 0; i < rounds; ++i) {
    const unsigned parity = static_cast<unsigned>(i) % 2;
    if (threadIdx.y == 1) {
      barrier_wait(&shared.full, parity);
      sum = 3 * sum + shared.number;
      barrier_arrive(&shared.empty);
    } else if (threadIdx.x == 0) {
      if (waits) barrier_wait(&shared.empty, parity ^ 1);
      shared.number = i;
      barrier_arrive(&shared.full);
    }
  }
  if (threadIdx.y == 0) return;
  shared.sum[threadIdx.x] = sum;
  meet(1, kWarpgroup);
  y[threadIdx.x] = shared.sum[kWarpgroup - 1 - threadIdx.x];
}
FNN_TEST(numbers_are_handed_over) {
  const auto hand = [](int rounds, bool waits) {
    const Array<int> y(kWarpgroup);
    start(stream, &hand_kernel, 2, dim3(kWarpgroup, 2), sizeof(Handed), rounds, waits, y.data());
    return y.read();
  };
  int expected = 0;
  for (int i = 0; i < 7; ++i) expected = 3 * expected + i;
  in_every_order([&] {
    for (const int sum : hand(7, true)) FNN_EXPECT(sum == expected);
    expect_end([&] { hand(7, false); }, "an arrival too many", "do not come");
  });
}

std::vector<uint32_t> counted(size_t n) {
  std::vector<uint32_t> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = static_cast<uint32_t>(i) + 1;
  return x;
}

constexpr int kBoxRows = 16, kBoxCols = 32;
struct Boxed {
  alignas(1024) uint32_t box[kBoxRows][kBoxCols];
  uint64_t barrier;
};
__global__ void box_kernel(const __grid_constant__ CUtensorMap map, int col, int row, uint32_t* y) {
  Boxed& shared = *shared_memory<Boxed>();
  if (threadIdx.x == 0) {
    barrier_init(&shared.barrier, 1);
    barriers_ready();
    barrier_expect(&shared.barrier, sizeof shared.box);
    load_box(shared.box, &map, col, row, &shared.barrier);
  }
  __syncthreads();
  y[threadIdx.x] = shared.box[0][0];  // which nobody has waited for
  __syncthreads();
  barrier_wait(&shared.barrier, 0);
  for (int i = 0; i < kBoxRows; ++i) y[(1 + i) * kBoxCols + static_cast<int>(threadIdx.x)] = shared.box[i][threadIdx.x];
}
FNN_TEST(boxes_are_copied) {
  constexpr int kRows = 37, kCols = 50, kLd = 52;
  const Array<uint32_t> x(counted(kRows * kLd));
  const CUtensorMap map = tensor_map(Precision::tf32, x.data(), kRows, kCols, kLd, kBoxRows);
  in_every_order([&] {
    for (const int row0 : {0, 13, 30, 40})
      for (const int col0 : {0, 32, 64}) {
        const Array<uint32_t> y((1 + kBoxRows) * kBoxCols);
        start(stream, &box_kernel, 1, kBoxCols, sizeof(Boxed), map, col0, row0, y.data());
        const std::vector<uint32_t> found = y.read();
        for (int i = 0; i < kBoxCols; ++i) FNN_EXPECT(found[static_cast<size_t>(i)] == 0xffffffff);
        for (int i = 0; i < kBoxRows; ++i)
          for (int j = 0; j < kBoxCols; ++j) {
            const int row = row0 + i, col = col0 + j, piece = j / 4 ^ i % 8;
            const uint32_t expected = row < kRows && col < kCols ? static_cast<uint32_t>(row * kLd + col) + 1 : 0;
            FNN_EXPECT(found[static_cast<size_t>((1 + i) * kBoxCols + piece * 4 + j % 4)] == expected);
          }
      }
  });
}
FNN_TEST(what_cannot_be_copied_is_refused) {
  const Array<uint32_t> x(64);
  const auto refuses = [&](const uint32_t* at, int64_t ld, int rows) {
    try {
      tensor_map(Precision::tf32, at, 2, 8, ld, rows);
      return false;
    } catch (const fnn::CudaFailure&) {
      return true;
    }
  };
  FNN_EXPECT(!refuses(x.data(), 8, 256));
  FNN_EXPECT(refuses(x.data() + 1, 8, 8) && refuses(x.data(), 9, 8) && refuses(x.data(), 8, 257));
}

// D (64, 256) = A (64, k) B (k, 256), A and B along k; in the stage's two halves, one for each product.
enum class Mistake { none, no_fence, early_read, touched, early_copy, unready, not_waited, no_bytes, alone, parted };

template <Precision Rounding>
struct Staged {
  using Number = std::conditional_t<Rounding == Precision::bf16, uint16_t, uint32_t>;
  static constexpr int kDepth = kSwizzledRow / sizeof(Number);
  alignas(1024) Number a[kWgmmaRows * kDepth], b[kWgmmaCols * kDepth];
  uint64_t full, empty;
};
template <Precision Rounding>
__global__ void product_kernel(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b, int steps,
                               Mistake mistake, float* y) {
  using Shared = Staged<Rounding>;
  Shared& shared = *shared_memory<Shared>();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    barrier_init(&shared.full, 1);
    barrier_init(&shared.empty, mistake == Mistake::early_copy ? 1 : kWarpgroup / 32);
    if (mistake != Mistake::unready) barriers_ready();
  }
  __syncthreads();
  WgmmaSums sum = {};
  for (int i = 0; i < steps; ++i) {
    if (thread == 0) {
      barrier_wait(&shared.empty, static_cast<unsigned>(i) % 2 ^ 1);
      barrier_expect(&shared.full, sizeof shared.a + sizeof shared.b);
      load_box(shared.a, &a, i * Shared::kDepth, 0, &shared.full);
      if (mistake != Mistake::no_bytes) load_box(shared.b, &b, i * Shared::kDepth, 0, &shared.full);
    }
    barrier_wait(&shared.full, static_cast<unsigned>(i) % 2);
    if (mistake != Mistake::no_fence) wgmma_fence(sum);
    const bool other = mistake == Mistake::parted && thread / 32 == 2;
    for (uint64_t j = 0; j < 4; ++j) {
      if (mistake == Mistake::alone && thread / 32 == 1 && j == 3) break;
      wgmma<Rounding>(sum, matrix_descriptor(shared.a) + 2 * j, matrix_descriptor(shared.b) + 2 * (other ? 0 : j));
      if (mistake == Mistake::touched) sum[3] = 0;
    }
    wgmma_commit();
    if (mistake == Mistake::early_read && i == steps - 1) break;
    if (mistake != Mistake::not_waited) wgmma_wait<0>(sum);
    if (thread % 32 == 0 && (mistake != Mistake::early_copy || thread == 0)) barrier_arrive(&shared.empty);
  }
  for (int i = 0; i < 128; ++i) {
    const int row = thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8, col = i / 4 * 8 + thread % 4 * 2 + i % 2;
    y[row * kWgmmaCols + col] = sum[i];
  }
  if (mistake == Mistake::early_read) wgmma_wait<0>(sum);
}

template <Precision Rounding>
struct Products {
  using Number = typename Staged<Rounding>::Number;
  static constexpr int kLines = kWgmmaRows + kWgmmaCols, kDepth = Staged<Rounding>::kDepth, kK = 2 * kDepth - 8;

  std::vector<Number> x = std::vector<Number>(kLines * kK);
  std::vector<float> value = std::vector<float>(x.size());
  Products() {
    unsigned seed = 5;
    for (size_t i = 0; i < x.size(); ++i) {
      const float v = static_cast<float>((seed = seed * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1.f;
      x[i] = static_cast<Number>(Rounding == Precision::bf16 ? bf16_bits(v) : to_tf32(v));
      value[i] = __uint_as_float(Rounding == Precision::bf16 ? uint32_t{x[i]} << 16 : uint32_t{x[i]});
    }
  }
  std::vector<float> made(Mistake mistake = Mistake::none) const {
    const Array<Number> on_gpu(x);
    const Array<float> y(kWgmmaRows * kWgmmaCols);
    const CUtensorMap a = tensor_map(Rounding, on_gpu.data(), kWgmmaRows, kK, kK, kWgmmaRows);
    const CUtensorMap b = tensor_map(Rounding, on_gpu.data() + kWgmmaRows * kK, kWgmmaCols, kK, kK, kWgmmaCols);
    start(stream, &product_kernel<Rounding>, 1, kWarpgroup, sizeof(Staged<Rounding>), a, b, 2, mistake, y.data());
    return y.read();
  }
  bool right(const std::vector<float>& y) const {
    bool all = true;
    for (size_t i = 0; i < kWgmmaRows; ++i)
      for (size_t j = 0; j < kWgmmaCols; ++j) {
        double sum = 0, size = 0;
        for (size_t k = 0; k < kK; ++k) {
          const double term = double{value[i * kK + k]} * value[(kWgmmaRows + j) * kK + k];
          sum += term;
          size += std::abs(term);
        }
        all &= std::abs(y[i * kWgmmaCols + j] - sum) <= kK * 0x1p-24 * size;
      }
    return all;
  }
};

FNN_TEST(products_of_warpgroups) {
  const Products<Precision::tf32> tf32;
  const Products<Precision::bf16> bf16;
  in_every_order([&] {
    FNN_EXPECT(tf32.right(tf32.made()));
    FNN_EXPECT(bf16.right(bf16.made()));
  });
}

FNN_TEST(products_read_or_written_too_early) {
  const Products<Precision::bf16> p;
  int overwritten = 0;
  in_every_order([&] {
    FNN_EXPECT(std::isnan(p.made(Mistake::early_read)[0]));
    overwritten += !p.right(p.made(Mistake::early_copy));
  });
  FNN_EXPECT(overwritten > 0);  // where the first warp is done before the others
}

FNN_TEST(wrong_use_of_warpgroups_is_caught) {
  const Products<Precision::tf32> p;
  const auto run = [&](Mistake m) { return [&, m] { p.made(m); }; };
  in_every_order([&] {
    expect_end(run(Mistake::no_fence), "no wgmma_fence");
    expect_end(run(Mistake::touched), "while products are under way");
    expect_end(run(Mistake::unready), "barriers_ready");
    expect_end(run(Mistake::not_waited), "under way");
    expect_end(run(Mistake::no_bytes), "do not come");
    expect_end(run(Mistake::alone), "multiply different matrices");
    expect_end(run(Mistake::parted), "multiply different matrices");
  });
}

}  // namespace
