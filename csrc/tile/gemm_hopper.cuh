// Products of large matrices in TF32 and bfloat16 by what Hopper alone has (cuda/hopper.cuh). A and B are
// rounded first, and laid along k whichever way they lay: then one kernel does for all.
//
// There a block takes tile after tile of 128 x 256 of C. One thread of its last warpgroup sends for
// stages of A and B, of 128 bytes of k each, round a ring; two warpgroups multiply 64 rows each and give
// what they have of C to the functor that gemm.cuh describes, as if they were blocks of 128 threads: it
// may use no barriers here.
#pragma once

#include "cuda/hopper.cuh"
#include "tile/gemm.cuh"

namespace fnn::cuda {

// --- rounding ------------------------------------------------------------------------------------

constexpr int kRoundLines = 64, kRoundDepth = 64, kRoundThreads = 256;

template <class X>
struct RoundShared {
  // Along k in rows or lines, as X is.
  using Tile = TileLayout<kRoundLines, kRoundDepth, !X::kAlongK, 4>;

  alignas(16) float tile[Tile::kSize];
  typename X::Line line[kRoundLines];
};

// y (batch, lines, ld) = x rounded: 4 bytes a number of TF32, 2 of bfloat16, and zeros from k to ld.
template <Precision Rounding, class X>
__global__ void __launch_bounds__(kRoundThreads) round_kernel(X x, int64_t lines, int64_t k, int64_t ld, void* y) {
  using Shared = RoundShared<X>;
  using Tile = typename Shared::Tile;
  constexpr int kPack = 4, kPacks = kRoundDepth / kPack;  // numbers that a thread takes of a line
  constexpr int kWords = Rounding == Precision::bf16 ? 2 : 4;
  constexpr int kNeighbours = X::kAlongK ? kPacks : 2;  // threads that share a line: all banks are read at a time
  Shared& shared = *shared_memory<Shared>();

  const int64_t across = div_up(k, kRoundDepth), down = div_up(lines, kRoundLines);
  const int64_t batch = blockIdx.x / (across * down), tile = blockIdx.x % (across * down);
  const int64_t line0 = tile / across * kRoundLines, k0 = tile % across * kRoundDepth;
  const int rows = at_most(kRoundLines, lines - line0);

  if (threadIdx.x < kRoundLines) shared.line[threadIdx.x] = x.line(batch, line0 + threadIdx.x);
  __syncthreads();
  load_tile<kRoundThreads, Tile>(x, shared.line, rows, k0, at_most(kRoundDepth, k - k0), shared.tile);
  copies_commit();
  copies_wait<0>();
  __syncthreads();
  for (int i = threadIdx.x; i < kRoundLines * kPacks; i += kRoundThreads) {
    const int line = i / kNeighbours % kRoundLines;
    const int at = (i % kNeighbours + i / (kNeighbours * kRoundLines) * kNeighbours) * kPack;
    if (line >= rows || k0 + at >= ld) continue;
    float v[kPack];
    for (int j = 0; j < kPack; ++j) v[j] = shared.tile[Tile::at(line, at + j)];
    Pack<uint32_t, kWords> word;
    for (int j = 0; j < kWords; ++j)
      if constexpr (Rounding == Precision::bf16)
        word.v[j] = pack_bf16(v[2 * j], v[2 * j + 1]);
      else
        word.v[j] = to_tf32(v[j]);
    static_cast<Pack<uint32_t, kWords>*>(y)[((batch * lines + line0 + line) * ld + k0 + at) / kPack] = word;
  }
}

// The matrices of a batch, rounded, as one of all their lines.
template <Precision Rounding, class X>
CUtensorMap rounded(Stream& s, const X& x, int64_t batch, int64_t lines, int64_t k, int box_rows) {
  constexpr int64_t kBytes = Rounding == Precision::bf16 ? 2 : 4;
  const int64_t ld = div_up(k, 16 / kBytes) * (16 / kBytes);
  void* const y = workspace(s, batch * lines * ld * kBytes);
  start(s, &round_kernel<Rounding, X>,
        static_cast<unsigned>(batch * div_up(lines, kRoundLines) * div_up(k, kRoundDepth)), kRoundThreads,
        sizeof(RoundShared<X>), x, lines, k, ld, y);
  return tensor_map(Rounding, y, batch * lines, k, ld, box_rows);
}

// --- the product ---------------------------------------------------------------------------------

constexpr int kConsumers = 2;  // warpgroups that multiply
constexpr int kHopperM = kConsumers * kWgmmaRows, kHopperN = kWgmmaCols, kHopperStages = 4, kWarpgroup = 128;
constexpr int kHopperThreads = (kConsumers + 1) * kWarpgroup;
constexpr int kHopperPiece = 64, kHopperLd = kHopperPiece + 4;  // columns of C that are staged at a time

struct HopperShared {
  struct alignas(1024) Stage {
    unsigned char a[kHopperM * kSwizzledRow], b[kHopperN * kSwizzledRow];
  };
  Stage stage[kHopperStages];
  float c[kConsumers][kWgmmaRows * kHopperLd];
  uint64_t full[kHopperStages], empty[kHopperStages];  // barriers
};
static_assert(sizeof(HopperShared) <= 227 << 10, "more than a block may have");

// Where one is in the ring: each time round, the barriers' phases have the other parity.
struct Turn {
  int stage = 0;
  unsigned parity = 0;

  __device__ void next() {
    if (++stage < kHopperStages) return;
    stage = 0;
    parity ^= 1;
  }
};

template <Precision Rounding, class Finish>
__global__ void __launch_bounds__(kHopper ? kHopperThreads : 32)
    hopper_kernel(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b, int64_t m, int64_t n,
                  int64_t batch, Cut cut, Finish finish) {
  if constexpr (kHopper) {
    HopperShared& shared = *shared_memory<HopperShared>();
    const int thread = threadIdx.x, group = threadIdx.y;
    if (thread == 0 && group == 0) {
      for (int i = 0; i < kHopperStages; ++i) {
        barrier_init(&shared.full[i], 1);
        barrier_init(&shared.empty[i], kConsumers * kWarpgroup / 32);
      }
      barriers_ready();
    }
    __syncthreads();

    constexpr int kDepth = kSwizzledRow / (Rounding == Precision::bf16 ? 2 : 4);
    const int steps = static_cast<int>(div_up(cut.depth, kDepth));
    const int64_t tiles = cut.tiles_m * cut.tiles_n, jobs = batch * tiles;
    Turn turn;

    if (group == kConsumers) {
      if (thread > 0) return;
      for (int64_t job = blockIdx.x; job < jobs; job += gridDim.x) {
        const Place place = place_of(job % tiles, cut);
        const int row = static_cast<int>(job / tiles * m + place.row * kHopperM);
        const int col = static_cast<int>(job / tiles * n + place.col * kHopperN);
        for (int i = 0; i < steps; ++i, turn.next()) {
          HopperShared::Stage& stage = shared.stage[turn.stage];
          uint64_t* const full = &shared.full[turn.stage];
          barrier_wait(&shared.empty[turn.stage], turn.parity ^ 1);
          barrier_expect(full, sizeof stage);
          load_box(stage.a, &a, i * kDepth, row, full);
          load_box(stage.b, &b, i * kDepth, col, full);
        }
      }
      return;
    }

    const int lane = thread % 32;
    const auto release = [&](int stage) {
      if (lane == 0) barrier_arrive(&shared.empty[stage]);
    };
    for (int64_t job = blockIdx.x; job < jobs; job += gridDim.x) {
      WgmmaSums sum = {};
      int last = 0;
      for (int i = 0; i < steps; ++i, turn.next()) {
        const HopperShared::Stage& stage = shared.stage[turn.stage];
        const uint64_t x = matrix_descriptor(stage.a + group * kWgmmaRows * kSwizzledRow);
        const uint64_t y = matrix_descriptor(stage.b);
        barrier_wait(&shared.full[turn.stage], turn.parity);
        wgmma_fence(sum);
#pragma unroll
        for (int j = 0; j < kSwizzledRow / kWgmmaBytes; ++j)
          wgmma<Rounding>(sum, x + j * (kWgmmaBytes / 16), y + j * (kWgmmaBytes / 16));
        wgmma_commit();
        wgmma_wait<1>(sum);
        if (i > 0) release(last);
        last = turn.stage;
      }
      wgmma_wait<0>(sum);
      release(last);

      const Place place = place_of(job % tiles, cut);
      const int64_t row = place.row * kHopperM + group * kWgmmaRows, col = place.col * kHopperN;
      const int rows = at_most(kWgmmaRows, m - row);
      const int at = (thread / 32 * 16 + lane / 4) * kHopperLd + lane % 4 * 2;
      float* const c = shared.c[group];
#pragma unroll
      for (int piece = 0; piece < kHopperN / kHopperPiece; ++piece) {
        const int64_t first = col + piece * kHopperPiece;
        if (rows <= 0 || first >= n) break;
        meet(1 + group, kWarpgroup);  // nobody reads the piece before
#pragma unroll
        for (int i = 0; i < kHopperPiece / 2; i += 2) {
          Pack<float, 2> two;
          two.v[0] = sum[piece * (kHopperPiece / 2) + i];
          two.v[1] = sum[piece * (kHopperPiece / 2) + i + 1];
          *reinterpret_cast<Pack<float, 2>*>(c + at + i / 2 % 2 * 8 * kHopperLd + i / 4 * 8) = two;
        }
        meet(1 + group, kWarpgroup);
        finish(Piece<float>{c, kHopperLd, log2(kHopperPiece), job / tiles, row, first, rows,
                            at_most(kHopperPiece, n - first)});
      }
    }
  }
}

// Whether the tiles fill a large GPU, and one takes as long to multiply as to store: at 3.75 TFLOP/s (TF32)
// and 30 GB/s of a processor, that is from k = 256 on.
template <class A, class B, class Finish>
bool suits_hopper(const Product<float, A, B, Finish>& p) {
  constexpr int64_t kLeastDepth = 256, kMostLines = int64_t{1} << 31;
  return p.k >= kLeastDepth && 2 * p.m > kHopperM && 2 * p.n > kHopperN &&
         div_up(p.m, kHopperM) * div_up(p.n, kHopperN) * p.batch >= kEnoughBlocks && p.batch * p.m < kMostLines &&
         p.batch * p.n < kMostLines;
}

// Whether this stream's GPU is Hopper, and has got the code for it: what was made for others may have
// a block of 32 threads only.
template <class Kernel>
bool runs_hopper(Kernel kernel) {
  if (capability().gpu != 90) return false;
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)), "looking for a kernel");
  return attributes.maxThreadsPerBlock >= kHopperThreads;
}

// Whether it could; where not, gemm() must.
template <Precision Rounding, class A, class B, class Finish>
bool hopper_gemm(Stream& s, const Product<float, A, B, Finish>& p) {
  const auto kernel = &hopper_kernel<Rounding, Finish>;
  if (!runs_hopper(kernel)) return false;
  const CUtensorMap a = rounded<Rounding>(s, p.a, p.batch, p.m, p.k, kHopperM);
  const CUtensorMap b = rounded<Rounding>(s, p.b, p.batch, p.n, p.k, kHopperN);
  const Cut cut{div_up(p.m, kHopperM), div_up(p.n, kHopperN), 1, p.k};
  const int64_t jobs = p.batch * cut.tiles_m * cut.tiles_n;
  int gpu, processors;
  check(cudaGetDevice(&gpu), "asking for the current GPU");
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, gpu), "counting processors");
  start(s, kernel, static_cast<unsigned>(jobs < processors ? jobs : processors), dim3(kWarpgroup, kConsumers + 1),
        sizeof(HopperShared), a, b, p.m, p.n, p.batch, cut, p.finish);
  return true;
}

template <class A, class B, class Finish>
bool hopper_gemm(Stream& s, const Product<float, A, B, Finish>& p, Precision precision) {
  if (!suits_hopper(p)) return false;
  switch (precision) {
    case Precision::tf32: return hopper_gemm<Precision::tf32>(s, p);
    case Precision::bf16: return hopper_gemm<Precision::bf16>(s, p);
    default: return false;
  }
}

}  // namespace fnn::cuda
