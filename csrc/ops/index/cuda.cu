#include "ops/index/args.h"

#include "cuda/kernel.cuh"
#include "cuda/reduce.cuh"

namespace fnn::cuda {
namespace {

constexpr int kThreads = 256;

// A power of two of threads that share a row of n pieces.
int lanes_for(int64_t n, int most) {
  int lanes = 1;
  while (lanes < most && lanes < n) lanes *= 2;
  return lanes;
}

// --- gather -------------------------------------------------------------------------------

// `lanes` threads of a block own a row of `width` pieces, or where it is long the part of it that
// the grid's second dimension gives them.
template <class Piece>
__global__ void __launch_bounds__(kThreads) gather_rows_kernel(const Piece* x, const int64_t* index, Piece* y,
                                                               int64_t rows, int64_t count, int64_t width, int lanes) {
  const int thread = static_cast<int>(threadIdx.x), together = kThreads / lanes;
  for (int64_t j = static_cast<int64_t>(blockIdx.x) * together + thread / lanes; j < count; j += gridDim.x * together) {
    const Piece* from = x + from_start(index[j], rows) * width;
    for (int64_t i = static_cast<int64_t>(blockIdx.y) * lanes + thread % lanes; i < width; i += gridDim.y * lanes)
      y[j * width + i] = from[i];
  }
}

template <class Piece>
void gather(Stream& s, const GatherRowsArgs<uint8_t>& a) {
  constexpr int64_t kMostParts = 1 << 10, kPieces = 4;  // of a thread in one row
  const int64_t width = a.width / static_cast<int64_t>(sizeof(Piece));
  const int lanes = lanes_for(width, kThreads);
  const int64_t parts = div_up(width, lanes * kPieces);
  start(s, &gather_rows_kernel<Piece>,
        dim3(blocks_for(a.count, kThreads / lanes), static_cast<unsigned>(parts < kMostParts ? parts : kMostParts)),
        kThreads, 0, reinterpret_cast<const Piece*>(a.x), a.index, reinterpret_cast<Piece*>(a.y), a.rows, a.count,
        width, lanes);
}

// --- scatter ------------------------------------------------------------------------------

// A block owns `rows_each` rows of dx, and of these one pack of columns a lane. It looks through the
// whole index for its rows and lists, in order, what it finds; whenever the list may not take
// more, and at the end, each warp takes rows and adds up what the list has for them, in order.
constexpr int kWarps = kThreads / kWarp;
constexpr int kReads = 4;  // of the index, by a thread at once
constexpr int kSums = 8;   // rows of dy on their way
constexpr int kStep = kReads * kThreads, kList = 2 * kStep;

struct ScatterShared {
  int64_t from[kList];  // row of dy
  int to[kList];        // row of dx, counted from the block's first
  int found[kWarps];
};

template <int W, class T>
__global__ void __launch_bounds__(kThreads) scatter_rows_kernel(ScatterRowsArgs<T> a, int rows_each, int parts) {
  using V = Pack<T, W>;
  auto* shared = shared_memory<ScatterShared>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x / parts) * rows_each;
  const int rows = static_cast<int>(a.rows - first_row < rows_each ? a.rows - first_row : rows_each);
  const int64_t column = (static_cast<int64_t>(blockIdx.x % parts) * kWarp + lane) * W;
  const bool exists = column < a.width;

  const auto add_up = [&](int listed, bool fresh) {
    for (int row = warp; row < rows; row += kWarps) {
      V* dx = reinterpret_cast<V*>(a.dx + (first_row + row) * a.width + column);
      V total = fresh || !exists ? V(0) : *dx;
      for (int i = 0; i < listed; i += kWarp) {
        unsigned mine = __ballot_sync(kAllLanes, i + lane < listed && shared->to[i + lane] == row);
        while (mine) {
          V dy[kSums];
#pragma unroll
          for (int k = 0; k < kSums; ++k, mine &= mine - 1) {
            dy[k] = V(0);
            if (!mine || !exists) continue;
            const int64_t from = shared->from[i + __ffs(static_cast<int>(mine)) - 1];
            dy[k] = *reinterpret_cast<const V*>(a.dy + from * a.width + column);
          }
#pragma unroll
          for (const V& one : dy) total += one;
        }
      }
      if (exists) *dx = total;
    }
  };

  int listed = 0;
  bool fresh = true, last = false;  // nothing of dx is written; nothing of the index is left
  for (int64_t base = 0; !last; base += kStep) {
    last = base + kStep >= a.count;
    int to[kReads], found = 0;
    unsigned votes[kReads];
    const int64_t begin = base + warp * (kStep / kWarps) + lane;
#pragma unroll
    for (int k = 0; k < kReads; ++k) {
      const int64_t j = begin + k * kWarp;
      const int64_t row = j < a.count ? from_start(a.index[j], a.rows) - first_row : -1;
      to[k] = row >= 0 && row < rows ? static_cast<int>(row) : -1;
    }
#pragma unroll
    for (int k = 0; k < kReads; ++k) {
      votes[k] = __ballot_sync(kAllLanes, to[k] >= 0);
      found += __popc(votes[k]);
    }
    if (lane == 0) shared->found[warp] = found;
    __syncthreads();
    int place = listed;  // of the warp's first in the list
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) place += shared->found[w];
      listed += shared->found[w];
    }
#pragma unroll
    for (int k = 0; k < kReads; ++k) {
      if (to[k] >= 0) {
        const int at = place + __popc(votes[k] & ((1u << lane) - 1));
        shared->from[at] = begin + k * kWarp;
        shared->to[at] = to[k];
      }
      place += __popc(votes[k]);
    }
    __syncthreads();
    if (last || listed > kList - kStep) {
      add_up(listed, fresh);
      fresh = false;
      listed = 0;
      __syncthreads();
    }
  }
}

template <int W, class T>
void scatter(Stream& s, const ScatterRowsArgs<T>& a) {
  // Every block reads the whole index: no more of them than fill a GPU, with work for every warp.
  constexpr int64_t kBlocks = 1024, kMostRows = 1 << 30;
  const int64_t parts = div_up(a.width, W * kWarp);
  int64_t rows_each = div_up(a.rows * parts, kBlocks);
  rows_each = rows_each < kWarps ? kWarps : rows_each < kMostRows ? rows_each : kMostRows;
  start(s, &scatter_rows_kernel<W, T>, static_cast<unsigned>(div_up(a.rows, rows_each) * parts), kThreads,
        sizeof(ScatterShared), a, static_cast<int>(rows_each), static_cast<int>(parts));
}

// What 16 bytes, 8 and so on must divide for pieces of that size.
template <class T>
uintptr_t alignment(const T* x, const T* y, int64_t width) {
  return reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y) | static_cast<uintptr_t>(width) * sizeof(T);
}

}  // namespace

template <class T>
void gather_rows(Stream& s, const GatherRowsArgs<T>& a) {
  const uintptr_t at = alignment(a.x, a.y, a.width);
  if (at % 16 == 0) return gather<Pack<uint32_t, 4>>(s, a);
  if (at % 8 == 0) return gather<Pack<uint32_t, 2>>(s, a);
  if (at % 4 == 0) return gather<uint32_t>(s, a);
  gather<uint8_t>(s, a);
}

template <class T>
void scatter_rows(Stream& s, const ScatterRowsArgs<T>& a) {
  if (a.rows == 0 || a.width == 0) return;
  if (alignment(a.dy, a.dx, a.width) % 16 == 0) return scatter<Vec<T>::N>(s, a);
  scatter<1>(s, a);
}

#include "isa/instantiate.h"
#include "ops/index/kernels.inc"

}  // namespace fnn::cuda
