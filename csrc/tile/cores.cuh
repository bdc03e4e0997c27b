// What the threads of a block do with tiles of A and B that are there, in shared memory: the cores
// of gemm.cuh.
#pragma once

#include "core/precision.h"
#include "cuda/kernel.cuh"
#include "cuda/math.cuh"
#include "cuda/mma.cuh"

namespace fnn::cuda {

// Element (line, k) of a tile; the padding spreads what a warp reads or writes over the banks.
template <int Lines, int Depth, bool LinesLast, int Pad>
struct TileLayout {
  static constexpr int kLines = Lines, kDepth = Depth;
  static constexpr bool kLinesLast = LinesLast;
  static constexpr int kRow = (LinesLast ? Lines : Depth) + Pad;
  static constexpr int kSize = kRow * (LinesLast ? Depth : Lines);
  __device__ static constexpr int at(int line, int k) { return LinesLast ? k * kRow + line : line * kRow + k; }
};

// Multiply-adds of each thread's own, in T: an outer product of ThreadM and ThreadN numbers at a
// time, in groups of 4 that lie as far apart as the threads reach. Slices > 1: as many threads
// share an element of C, each with a part of every tile's k; for products too small to fill a GPU.
template <class Type, int M, int N, int K, int ThreadM, int ThreadN, int Slices, int Stages_, int Blocks_>
struct SimtCore {
  using T = Type;
  static constexpr int kM = M, kN = N, kK = K, kSlices = Slices, kStages = Stages_, kBlocks = Blocks_;
  static constexpr int kRows = M / ThreadM, kCols = N / ThreadN, kThreads = kRows * kCols * Slices;
  static constexpr int kPasses = ThreadM / 4, kPassRows = M / kPasses;
  using TileA = TileLayout<M, K, true, 4>;
  using TileB = TileLayout<N, K, true, 4>;
  static_assert(kRows % 4 == 0 && kCols % 8 == 0 && K % Slices == 0, "a warp is 4 by 8 threads");

  struct alignas(16) Four {
    T v[4];
  };

  int row, col, slice;
  T sum[ThreadM][ThreadN] = {};

  // Lanes next to each other share a column, those 2 apart a row: then the banks serve half a
  // warp at a time.
  __device__ SimtCore() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, in_slice = warp % (kThreads / Slices / 32);
    row = (in_slice / (kCols / 8) * 4 + lane / 16 * 2 + lane % 2) * 4;
    col = (in_slice % (kCols / 8) * 8 + lane / 2 % 8) * 4;
    slice = warp / (kThreads / Slices / 32);
  }

  __device__ void multiply(const T* a, const T* b) {
#pragma unroll
    for (int i = 0; i < K / Slices; ++i) {
      const int k = slice * (K / Slices) + i;
      Four x[ThreadM / 4], y[ThreadN / 4];
#pragma unroll
      for (int g = 0; g < ThreadM / 4; ++g)
        x[g] = *reinterpret_cast<const Four*>(a + TileA::at(g * (4 * kRows) + row, k));
#pragma unroll
      for (int g = 0; g < ThreadN / 4; ++g)
        y[g] = *reinterpret_cast<const Four*>(b + TileB::at(g * (4 * kCols) + col, k));
#pragma unroll
      for (int r = 0; r < ThreadM; ++r)
#pragma unroll
        for (int c = 0; c < ThreadN; ++c) sum[r][c] = fma(x[r / 4].v[r % 4], y[c / 4].v[c % 4], sum[r][c]);
    }
  }

  // Rows [pass * kPassRows, (pass + 1) * kPassRows) of the tile, to c (kSlices, kPassRows, ld).
  __device__ void stage(int pass, T* c, int ld) const {
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int g = 0; g < ThreadN / 4; ++g) {
        Four y;
        for (int j = 0; j < 4; ++j) y.v[j] = sum[pass * 4 + i][g * 4 + j];
        *reinterpret_cast<Four*>(c + (slice * kPassRows + row + i) * ld + g * (4 * kCols) + col) = y;
      }
  }
};

// What tensor cores multiply in place of a float32 x: big + small, which is x to 2^-23 of it.
struct Parts {
  uint32_t big, small;
};
__device__ inline Parts parts(float x) {
  const uint32_t big = to_tf32(x);
  return {big, to_tf32(x - __uint_as_float(big))};
}
// Infinity and NaN have no parts, and those of very large numbers might overflow where they do not.
__device__ inline bool has_parts(float x) { return abs(x) <= 0x1p60f; }

// Tensor cores: a warp has WarpM x WarpN of C, in products of 16 x 8 by mma.sync (mma.cuh), of
// numbers that are rounded on their way into registers, or, for Precision::full, of their parts.
// Tiles lie as memory does, whichever way that is. With g = lane / 4 and t = lane % 4, the lane
// takes elements g of lines and t and t + 4 of k, 8 of k at a time; bfloat16 packs those of 16 in
// another order than mma_bf16 says, but the same for A and B.
template <Precision Rounding, int M, int N, int K, int WarpM, int WarpN, bool AAlongK, bool BAlongK, int Stages_,
          int Blocks_>
struct TensorCore {
  using T = float;
  static constexpr int kM = M, kN = N, kK = K, kSlices = 1, kStages = Stages_, kBlocks = Blocks_;
  static constexpr int kThreads = 32 * (M / WarpM) * (N / WarpN), kPasses = M / WarpM, kPassRows = WarpM;
  static constexpr int kTilesM = WarpM / 16, kTilesN = WarpN / 8;
  // The 8 g and 4 t that a warp reads at once lie in 32 banks.
  using TileA = TileLayout<M, K, !AAlongK, AAlongK ? 4 : 8>;
  using TileB = TileLayout<N, K, !BAlongK, BAlongK ? 4 : 8>;
  static constexpr bool kBf16 = Rounding == Precision::bf16;
  static constexpr int kStep = kBf16 ? 16 : 8;
  static_assert(K % kStep == 0);

  int row, col, g, t;
  float sum[kTilesM][kTilesN][4] = {};

  __device__ TensorCore() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    row = warp / (N / WarpN) * WarpM;
    col = warp % (N / WarpN) * WarpN;
    g = lane / 4;
    t = lane % 4;
  }

  // What a register of a fragment holds: element (line, k), and the one 4 further in k for bfloat16.
  template <class Tile>
  __device__ static uint32_t element(const float* x, int line, int k) {
    const float first = x[Tile::at(line, k)];
    if constexpr (!kBf16)
      return to_tf32(first);
    else
      return pack_bf16(first, x[Tile::at(line, k + 4)]);
  }

  __device__ void multiply(const float* a, const float* b) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800  // never started where the code is for GPUs without
    if constexpr (Rounding == Precision::full) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900  // as beats_float32() says
      bool all = true;
#pragma unroll 1  // it is long enough
      for (int k = 0; k < K; k += kStep) all &= multiply_parts(a, b, k);
      if (!__all_sync(0xffffffff, all)) multiply_without_parts(a, b);
#endif
    } else {
#pragma unroll
      for (int k = 0; k < K; k += kStep) multiply_rounded(a, b, k);
    }
#endif
  }

  // The rows of the pass-th row of warps.
  __device__ void stage(int pass, float* c, int ld) const {
    if (row != pass * WarpM) return;
#pragma unroll
    for (int i = 0; i < kTilesM; ++i)
#pragma unroll
      for (int j = 0; j < kTilesN; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          Pack<float, 2> two;
          two.v[0] = sum[i][j][2 * half];
          two.v[1] = sum[i][j][2 * half + 1];
          *reinterpret_cast<Pack<float, 2>*>(c + (16 * i + 8 * half + g) * ld + col + 8 * j + 2 * t) = two;
        }
  }

 private:
  // Of the elements in register j of a fragment of A, and in those of one of B.
  __device__ int line_a(int i, int j) const { return row + 16 * i + g + 8 * (j % 2); }
  __device__ int line_b(int i) const { return col + 8 * i + g; }

  __device__ void multiply_rounded(const float* a, const float* b, int k) {
    uint32_t x[kTilesM][4], y[kTilesN][2];
#pragma unroll
    for (int i = 0; i < kTilesM; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) x[i][j] = element<TileA>(a, line_a(i, j), k + t + kStep / 2 * (j / 2));
#pragma unroll
    for (int i = 0; i < kTilesN; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j) y[i][j] = element<TileB>(b, line_b(i), k + t + kStep / 2 * j);
#pragma unroll
    for (int i = 0; i < kTilesM; ++i)
#pragma unroll
      for (int j = 0; j < kTilesN; ++j)
        if constexpr (kBf16)
          mma_bf16(sum[i][j], x[i], y[j]);
        else
          mma_tf32(sum[i][j], x[i], y[j]);
  }

  // a b = big big + (big small + small big) + what 2^-21 |a b| bounds: the smallest first, and in
  // sums of their own, as tensor cores cut off what float32 would round. Says whether all numbers of
  // this lane have parts; the others count as 0.
  __device__ bool multiply_parts(const float* a, const float* b, int k) {
    bool all = true;
    const auto parts_of = [&](float x) {
      const bool has = has_parts(x);
      all &= has;
      return parts(has ? x : 0.f);
    };
    uint32_t big[kTilesM][4], small[kTilesM][4];
#pragma unroll
    for (int i = 0; i < kTilesM; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const Parts x = parts_of(a[TileA::at(line_a(i, j), k + t + 4 * (j / 2))]);
        big[i][j] = x.big;
        small[i][j] = x.small;
      }
#pragma unroll
    for (int j = 0; j < kTilesN; ++j) {
      const Parts y[2] = {parts_of(b[TileB::at(line_b(j), k + t)]), parts_of(b[TileB::at(line_b(j), k + t + 4)])};
      const uint32_t y_big[2] = {y[0].big, y[1].big}, y_small[2] = {y[0].small, y[1].small};
#pragma unroll
      for (int i = 0; i < kTilesM; ++i) {
        float products[4] = {};
        mma_tf32(products, small[i], y_big);
        mma_tf32(products, big[i], y_small);
        mma_tf32(products, big[i], y_big);
#pragma unroll
        for (int c = 0; c < 4; ++c) sum[i][j][c] += products[c];
      }
    }
    return all;
  }

  // The products that a number without parts is in; the others of its row and column keep their bits.
  __device__ void multiply_without_parts(const float* a, const float* b) {
#pragma unroll 1
    for (int k = 0; k < K; ++k) {
      float y[2 * kTilesN];
      unsigned without = 0;  // bit j: y[j] has no parts
#pragma unroll
      for (int j = 0; j < 2 * kTilesN; ++j) {
        y[j] = b[TileB::at(col + 8 * (j / 2) + 2 * t + j % 2, k)];
        without |= has_parts(y[j]) ? 0 : 1u << j;
      }
#pragma unroll
      for (int i = 0; i < 2 * kTilesM; ++i) {
        const float x = a[TileA::at(row + 8 * i + g, k)];
        const unsigned which = has_parts(x) ? without : ~0u;
#pragma unroll
        for (int j = 0; j < 2 * kTilesN; ++j) {
          float& s = sum[i / 2][j / 2][i % 2 * 2 + j % 2];
          if (which >> j & 1) s = fma(x, y[j], s);
        }
      }
    }
  }
};

}  // namespace fnn::cuda
