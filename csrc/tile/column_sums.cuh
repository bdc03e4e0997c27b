// Sums over the rows of a matrix, in an order that its shape alone decides.
#pragma once

#include "cuda/async.cuh"
#include "cuda/kernel.cuh"

namespace fnn::cuda {

// A block sums some rows of kColumnPacks packs of columns: thread (lane, pack) every
// kColumnLanes-th row, and then the lanes are folded.
constexpr int kColumnPacks = 8, kColumnLanes = 32, kColumnThreads = kColumnPacks * kColumnLanes;
constexpr int64_t kColumnDepth = 256, kColumnChunks = 64;  // rows at least, blocks down at most

template <class T>
struct ColumnShared {
  Vec<T> sum[kColumnLanes][kColumnPacks];
};

template <class T, class F, class Finish>
__global__ void __launch_bounds__(kColumnThreads)
    column_sums_kernel(int64_t rows, int64_t cols, int64_t depth, F f, Finish finish, T* partial) {
  constexpr int N = Vec<T>::N;
  auto& shared = *shared_memory<ColumnShared<T>>();
  const int pack = threadIdx.x % kColumnPacks, lane = threadIdx.x / kColumnPacks;
  const int64_t col = (static_cast<int64_t>(blockIdx.x) * kColumnPacks + pack) * N;
  const int n = cols - col < N ? static_cast<int>(cols - col) : N;
  const int64_t first = blockIdx.y * depth, last = first + depth < rows ? first + depth : rows;
  Vec<T> sum(0);
  if (n > 0)
    for (int64_t r = first + lane; r < last; r += kColumnLanes) sum += f(PackAt<N>{r * cols + col, n});
  for (int half = kColumnLanes / 2; half > 0; half /= 2) {
    shared.sum[lane][pack] = sum;
    __syncthreads();
    if (lane < half) sum += shared.sum[lane + half][pack];
    __syncthreads();
  }
  if (lane > 0 || n <= 0) return;
  if (partial)
    PackAt<N>{col, n}.store(partial + blockIdx.y * cols, sum);
  else
    finish(PackAt<N>{col, n}, sum);
}

template <class T, class Finish>
__global__ void __launch_bounds__(kLoopThreads)
    column_chunks_kernel(int64_t chunks, int64_t cols, const T* partial, Finish finish) {
  constexpr int N = Vec<T>::N;
  for (int64_t i = first_task() * N; i < cols; i += task_stride() * N) {
    const PackAt<N> at{i, static_cast<int>(cols - i < N ? cols - i : N)};
    Vec<T> sum(0);
#pragma unroll 8
    for (int64_t c = 0; c < chunks; ++c) sum += at.load(partial + c * cols);
    finish(at, sum);
  }
}

// finish(at, sum) for each pack of columns, sum being that of f(at) over (rows, cols), where `at`
// stands in the whole matrix.
template <class T, class F, class Finish>
void column_sums(Stream& s, int64_t rows, int64_t cols, const F& f, const Finish& finish) {
  if (cols == 0) return;
  constexpr int N = Vec<T>::N;
  const int64_t even = div_up(rows, kColumnChunks), depth = even > kColumnDepth ? even : kColumnDepth;
  const int64_t chunks = rows > depth ? div_up(rows, depth) : 1;
  T* partial = chunks > 1 ? static_cast<T*>(workspace(s, sizeof(T) * chunks * cols)) : nullptr;
  const dim3 grid(static_cast<unsigned>(div_up(cols, kColumnPacks * N)), static_cast<unsigned>(chunks));
  start(s, &column_sums_kernel<T, F, Finish>, grid, kColumnThreads, sizeof(ColumnShared<T>), rows, cols, depth, f,
        finish, partial);
  if (partial)
    start(s, &column_chunks_kernel<T, Finish>, blocks_for(div_up(cols, N), kLoopThreads), kLoopThreads, 0, chunks, cols,
          static_cast<const T*>(partial), finish);
}

}  // namespace fnn::cuda
