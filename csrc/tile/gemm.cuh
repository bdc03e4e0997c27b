// Products of matrices, C = A B, a tile of C to a block of threads. What A and B are is asked of
// loaders, element by element of a tile's edge, so that a convolution is a product as well; what
// becomes of C is up to a functor that is given it in shared memory.
//
// A loader X says where its elements are. A "line" is a row of A or a column of B.
//   static constexpr bool kAlongK;   neighbours in memory are neighbours in k; otherwise of the next line
//   bool vectors() const;            whole 16 bytes can be copied from multiples of as many elements
//                                    (in k, or in lines): at() is aligned there, and they all exist
//                                    or none does
//   Line line(int64_t batch, int64_t i) const;  what is worth knowing of a line of one of the products
//                                    once for all k: a small struct
//   Depth depth(int64_t k) const;    and of a k; both are asked beyond the ends too, without effect
//   const T* at(const Line&, const Depth&) const;  where the element is, or null for a 0
// Matrix, below, is the plainest one.
//
// finish(piece) is called by all threads of the block for each piece of C, after a barrier and
// before the next; it may use barriers itself.
#pragma once

#include "core/strided_shape.h"
#include "cuda/async.cuh"
#include "cuda/kernel.cuh"
#include "tile/cores.cuh"

namespace fnn::cuda {

// x[line * ld + k], or x[k * ld + line] where lines are neighbours.
template <class T, bool AlongK>
struct Matrix {
  static constexpr bool kAlongK = AlongK;
  using Line = const T*;
  using Depth = int64_t;

  const T* x;
  int64_t ld;
  bool whole_vectors;
  StridedShape<1> batch = {};  // where the others begin

  __device__ bool vectors() const { return whole_vectors; }
  __device__ Line line(int64_t product, int64_t i) const {
    const T* first = x;
    for (int d = batch.ndim - 1; d >= 0; product /= batch.size[d--])
      first += product % batch.size[d] * batch.stride[0][d];
    return first + (AlongK ? i * ld : i);
  }
  __device__ Depth depth(int64_t k) const { return AlongK ? k : k * ld; }
  __device__ const T* at(Line line, Depth depth) const { return line + depth; }
};

// Of a matrix of so many numbers along its rows in memory.
template <class T, bool AlongK>
Matrix<T, AlongK> matrix(const T* x, int64_t ld, int64_t along, const StridedShape<1>& batch = {}) {
  constexpr int64_t N = Vec<T>::N;
  bool whole = reinterpret_cast<uintptr_t>(x) % 16 == 0 && ld % N == 0 && along % N == 0;
  for (int d = 0; d < batch.ndim; ++d) whole &= batch.stride[0][d] % N == 0;
  return {x, ld, whole, batch};
}

// A part of C in shared memory: C[row + i, col + j] = c[i * ld + j], c on 16 bytes, ld a multiple of them.
template <class T>
struct Piece {
  const T* c;
  int ld, log_width;  // 2^log_width columns, of which some may not exist
  int64_t batch, row, col;
  int rows, cols;  // that exist
};

// f(row, col, n, v) for the n numbers v from C[row, col] on, N of them but at the end of a row;
// threads next to each other have neighbours.
template <int N, class T, class F>
__device__ void for_packs(const Piece<T>& p, const F& f) {
#pragma unroll 1  // registers still hold the sums of later pieces
  for (int q = threadIdx.x * N; q < p.rows << p.log_width; q += blockDim.x * N) {
    const int i = q >> p.log_width, j = q & ((1 << p.log_width) - 1);
    if (j < p.cols)
      f(p.row + i, p.col + j, p.cols - j < N ? p.cols - j : N,
        *reinterpret_cast<const Pack<T, N>*>(p.c + i * p.ld + j));
  }
}

template <class T, class A, class B, class Finish>
struct Product {
  int64_t m, n, k, batch;
  A a;            // (m, k)
  B b;            // (k, n)
  Finish finish;  // (const Piece<T>&)
  // Decides with n, k and batch in which order the sums are made: those of some rows of a larger
  // product are the same as there.
  int64_t rows_of_all = m;
};

// How a product is cut up, by its shape alone: the same sums on every GPU.
struct Cut {
  int64_t tiles_m, tiles_n;
  int64_t chunks, depth;  // of k: sums of their own, added up in order by a second kernel
};

// --- tiles of A and B in shared memory ------------------------------------------------------

// Copies `lines` lines and `depth` of k from k0 on, and zeros for what is missing of the tile.
// Neighbouring threads read neighbours in memory. Those that lie along k and are to lie along
// lines turn on the way, in runs of 8 by 4 lines a warp: 32 bytes to read, 32 banks to write.
template <int Threads, class Layout, int Width, class T, class X>
__device__ void copy_tile(const X& x, const typename X::Line* line, int lines, int64_t k0, int depth, T* to) {
  constexpr bool AlongK = X::kAlongK;
  constexpr int kExtent = AlongK ? Layout::kDepth : Layout::kLines, kAcross = AlongK ? Layout::kLines : Layout::kDepth;
  constexpr int kRun = AlongK && Layout::kLinesLast ? 8 : kExtent, kPieces = kRun / Width, kStep = Threads / kPieces;
  static_assert(kExtent % kRun == 0 && Threads % kPieces == 0 && (kAcross % kStep == 0 || kStep % kAcross == 0));
  const int thread = threadIdx.x, along = thread % kPieces * Width, across = thread / kPieces;
  if (kStep > kAcross && across >= kAcross) return;
#pragma unroll
  for (int run = 0; run < kExtent; run += kRun)
#pragma unroll
    for (int step = 0; step < kAcross; step += kStep) {
      const int l = AlongK ? across + step : run + along, k = AlongK ? run + along : across + step;
      const typename X::Depth at_k = x.depth(k0 + k);
      const T* from = l < lines && k < depth ? x.at(line[l], at_k) : nullptr;
      copy_async<Width* static_cast<int>(sizeof(T))>(to + Layout::at(l, k), from, from != nullptr);
    }
}

template <int Threads, class Layout, class T, class X>
__device__ void load_tile(const X& x, const typename X::Line* line, int lines, int64_t k0, int depth, T* to) {
  if constexpr (X::kAlongK != Layout::kLinesLast)
    if (x.vectors()) return copy_tile<Threads, Layout, Vec<T>::N>(x, line, lines, k0, depth, to);
  copy_tile<Threads, Layout, 1>(x, line, lines, k0, depth, to);
}

template <class Core, class A, class B>
struct GemmShared {
  using T = typename Core::T;
  static constexpr int kCd = Core::kN + 4;  // C's rows
  static constexpr int kStageSize = Core::TileA::kSize + Core::TileB::kSize;
  static constexpr int kPieceSize = Core::kSlices * Core::kPassRows * kCd;

  // The tiles of A and B, and when they are done with, pieces of C.
  alignas(16) T tile[kPieceSize > Core::kStages* kStageSize ? kPieceSize : Core::kStages * kStageSize];
  typename A::Line line_a[Core::kM];
  typename B::Line line_b[Core::kN];
};

constexpr int log2(int n) { return n > 1 ? 1 + log2(n / 2) : 0; }
__device__ inline int at_most(int most, int64_t n) { return n < most ? static_cast<int>(n) : most; }

// Row and column of tiles. They are gone through in strips of 8 columns: blocks that run at a time
// share rows and columns in the second-level cache.
struct Place {
  int64_t row, col;
};
__device__ inline Place place_of(int64_t tile, const Cut& cut) {
  constexpr int kStrip = 8;
  const int64_t strip = tile / (kStrip * cut.tiles_m), in_strip = tile % (kStrip * cut.tiles_m);
  const int width = at_most(kStrip, cut.tiles_n - strip * kStrip);
  return {in_strip / width, strip * kStrip + in_strip % width};
}

// Block -> (batch, chunk, tile).
template <class Core, class A, class B, class Finish>
__global__ void __launch_bounds__(Core::kThreads, Core::kBlocks)
    gemm_kernel(Product<typename Core::T, A, B, Finish> p, Cut cut, int64_t first_batch, typename Core::T* partial) {
  using T = typename Core::T;
  using Shared = GemmShared<Core, A, B>;
  constexpr int kStages = Core::kStages, N = Vec<T>::N;
  Shared& shared = *shared_memory<Shared>();

  const int64_t tiles = cut.tiles_m * cut.tiles_n, tile = blockIdx.x % tiles, job = blockIdx.x / tiles;
  const int64_t chunk = job % cut.chunks, batch = first_batch + job / cut.chunks;
  const Place place = place_of(tile, cut);
  const int64_t row0 = place.row * Core::kM, col0 = place.col * Core::kN;
  const int rows = at_most(Core::kM, p.m - row0), cols = at_most(Core::kN, p.n - col0);
  const int64_t k0 = chunk * cut.depth, k1 = k0 + cut.depth < p.k ? k0 + cut.depth : p.k;

  for (int i = threadIdx.x; i < Core::kM; i += Core::kThreads) shared.line_a[i] = p.a.line(batch, row0 + i);
  for (int i = threadIdx.x; i < Core::kN; i += Core::kThreads) shared.line_b[i] = p.b.line(batch, col0 + i);
  __syncthreads();

  // Tile i of A, and that of B behind it, lie in stage i % kStages.
  const auto stage = [&](int i) { return shared.tile + i % kStages * Shared::kStageSize; };
  const int steps = static_cast<int>((k1 - k0 + Core::kK - 1) / Core::kK);
  const auto load = [&](int i) {
    if (i < steps) {
      const int64_t k = k0 + static_cast<int64_t>(i) * Core::kK;
      const int depth = at_most(Core::kK, k1 - k);
      load_tile<Core::kThreads, typename Core::TileA>(p.a, shared.line_a, rows, k, depth, stage(i));
      load_tile<Core::kThreads, typename Core::TileB>(p.b, shared.line_b, cols, k, depth,
                                                      stage(i) + Core::TileA::kSize);
    }
    copies_commit();
  };
  Core core;
  for (int i = 0; i < kStages - 1; ++i) load(i);
  for (int i = 0; i < steps; ++i) {
    copies_wait<kStages - 2>();
    __syncthreads();  // tile i is there, and nobody reads tile i - 1 any more
    load(i + kStages - 1);
    core.multiply(stage(i), stage(i) + Core::TileA::kSize);
  }
  copies_wait<0>();

  constexpr int ld = Shared::kCd, kPassRows = Core::kPassRows;
#pragma unroll
  for (int pass = 0; pass < Core::kPasses; ++pass) {
    if (pass * kPassRows >= rows) return;
    __syncthreads();
    core.stage(pass, shared.tile, ld);
    __syncthreads();
    if constexpr (Core::kSlices > 1) {
      for (int i = threadIdx.x; i < kPassRows * ld; i += Core::kThreads)
        for (int s = 1; s < Core::kSlices; ++s) shared.tile[i] += shared.tile[s * kPassRows * ld + i];
      __syncthreads();
    }
    const int64_t row = row0 + pass * kPassRows;
    const Piece<T> piece{shared.tile, ld, log2(Core::kN), batch, row, col0, at_most(kPassRows, p.m - row), cols};
    if (!partial)
      p.finish(piece);
    else
      for_packs<N>(piece, [&](int64_t row, int64_t col, int n, const Vec<T>& v) {
        PackAt<N>{row * p.n + col, n}.store(partial + job * p.m * p.n, v);
      });
  }
}

// The second pass: pieces of 16 rows and 64 columns are summed over the chunks, in order.
constexpr int kSumRows = 16, kSumCols = 64, kSumThreads = 256;

template <class T>
struct SumShared {
  alignas(16) T c[kSumRows][kSumCols];
};

template <class T, class Finish>
__global__ void __launch_bounds__(kSumThreads)
    gemm_sum_kernel(int64_t m, int64_t n, int64_t chunks, int64_t first_batch, const T* partial, Finish finish) {
  SumShared<T>& shared = *shared_memory<SumShared<T>>();
  const int64_t across = (n + kSumCols - 1) / kSumCols, pieces = (m + kSumRows - 1) / kSumRows * across;
  const int64_t job = blockIdx.x / pieces, piece = blockIdx.x % pieces;
  const int64_t row0 = piece / across * kSumRows, col0 = piece % across * kSumCols;
  const int rows = at_most(kSumRows, m - row0), cols = at_most(kSumCols, n - col0);
  for (int i = threadIdx.x; i < kSumRows * kSumCols; i += kSumThreads) {
    const int r = i / kSumCols, c = i % kSumCols;
    T sum = T(0);
    if (r < rows && c < cols) {
      const T* x = partial + job * chunks * m * n + (row0 + r) * n + col0 + c;
#pragma unroll 8
      for (int64_t j = 0; j < chunks; ++j) sum += x[j * m * n];
    }
    shared.c[r][c] = sum;
  }
  __syncthreads();
  finish(Piece<T>{shared.c[0], kSumCols, log2(kSumCols), first_batch + job, row0, col0, rows, cols});
}

// --- which tiles, and how many chunks of k ---------------------------------------------------

constexpr int64_t kEnoughBlocks = 128;  // to keep a large GPU busy
constexpr int64_t kChunk = 1024;        // the least depth that is a sum of its own; a fused update relies on it

constexpr int64_t most_chunks(int64_t k) { return k >= 2 * kChunk ? k / kChunk : 1; }

// Whether tiles of M x N fill a GPU and are themselves filled to more than half.
inline bool tiles_fit(int64_t M, int64_t N, int64_t m, int64_t n, int64_t k, int64_t batch) {
  return 2 * m > M && 2 * n > N && div_up(m, M) * div_up(n, N) * batch * most_chunks(k) >= kEnoughBlocks;
}

template <class Core, class T, class A, class B, class Finish>
void start_gemm(Stream& s, const Product<T, A, B, Finish>& p) {
  using Shared = GemmShared<Core, A, B>;
  Cut cut{div_up(p.m, Core::kM), div_up(p.n, Core::kN), 1, p.k};
  const int64_t tiles = cut.tiles_m * cut.tiles_n;
  const int64_t blocks = div_up(p.rows_of_all, Core::kM) * cut.tiles_n * p.batch;
  if (blocks < kEnoughBlocks && most_chunks(p.k) > 1) {
    const int64_t wanted = div_up(kEnoughBlocks, blocks), most = most_chunks(p.k);
    cut.depth = div_up(div_up(p.k, wanted < most ? wanted : most), Core::kK) * Core::kK;
    cut.chunks = div_up(p.k, cut.depth);
  }
  T* partial = nullptr;
  if (cut.chunks > 1) partial = static_cast<T*>(workspace(s, sizeof(T) * cut.chunks * p.batch * p.m * p.n));
  constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;
  const int64_t at_once = kMostBlocks / (tiles * cut.chunks);
  for (int64_t done = 0; done < p.batch; done += at_once) {
    const int64_t count = p.batch - done < at_once ? p.batch - done : at_once;
    start(s, &gemm_kernel<Core, A, B, Finish>, static_cast<unsigned>(tiles * cut.chunks * count), Core::kThreads,
          sizeof(Shared), p, cut, done, partial);
  }
  if (partial)
    start(s, &gemm_sum_kernel<T, Finish>,
          static_cast<unsigned>(div_up(p.m, kSumRows) * div_up(p.n, kSumCols) * p.batch), kSumThreads,
          sizeof(SumShared<T>), p.m, p.n, cut.chunks, int64_t{0}, static_cast<const T*>(partial), p.finish);
}

// Whether tensor cores are faster than multiply-adds of float32 even where they need three
// products for one. By data sheets, not by a clock: a multiprocessor does 512 multiply-adds of TF32
// for 64 of float32 in 8.0, 1024 for 128 in 9.0, and at most twice as many in 8.6, 8.9 and 12.0.
inline bool beats_float32() {
  const auto [gpu, code] = capability();
  return (gpu == 80 || gpu == 90) && (code == 80 || code == 90);
}

template <Precision Rounding, class A, class B, class Finish>
void rounded_gemm(Stream& s, const Product<float, A, B, Finish>& p) {
  constexpr bool a = A::kAlongK, b = B::kAlongK;
  if (tiles_fit(128, 128, p.rows_of_all, p.n, p.k, p.batch))
    return start_gemm<TensorCore<Rounding, 128, 128, 16, 64, 64, a, b, 3, 2>>(s, p);
  start_gemm<TensorCore<Rounding, 64, 64, 32, 32, 32, a, b, 3, 3>>(s, p);
}

// Tensor cores take products of 32 rows, columns and terms or more: where numbers may be rounded
// all, and of others those of large tiles.
template <class T, class A, class B, class Finish>
void gemm(Stream& s, const Product<T, A, B, Finish>& p, Precision precision) {
  if (p.m == 0 || p.n == 0 || p.batch == 0) return;
  if constexpr (sizeof(T) == 8) {
    start_gemm<SimtCore<T, 64, 64, 16, 8, 4, 1, 2, 2>>(s, p);
  } else {
    const bool thin = p.rows_of_all < 32 || p.n < 32 || p.k < 32;
    const auto fit = [&](int64_t tile) { return tiles_fit(tile, tile, p.rows_of_all, p.n, p.k, p.batch); };
    if (!thin && precision != Precision::full && capability().code >= 80)
      return precision == Precision::tf32 ? rounded_gemm<Precision::tf32>(s, p) : rounded_gemm<Precision::bf16>(s, p);
    if (!thin && fit(128) && beats_float32())
      return start_gemm<TensorCore<Precision::full, 128, 128, 16, 64, 64, A::kAlongK, B::kAlongK, 3, 2>>(s, p);
    if (fit(128)) return start_gemm<SimtCore<T, 128, 128, 16, 8, 8, 1, 2, 2>>(s, p);
    if (fit(64)) return start_gemm<SimtCore<T, 64, 64, 16, 8, 4, 1, 3, 4>>(s, p);
    start_gemm<SimtCore<T, 32, 32, 32, 4, 4, 4, 3, 3>>(s, p);
  }
}

}  // namespace fnn::cuda
