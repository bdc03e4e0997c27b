// Rows of a matrix, each taken by a team of threads: a few neighbours in a warp where rows are
// short, so that a warp has several, a whole warp, or a block where they are long.
#pragma once

#include "cuda/math.cuh"
#include "cuda/reduce.cuh"

namespace fnn::cuda {

template <int N>
__device__ PackAt<N> pack_at(int64_t i, int64_t end) {
  return {i, static_cast<int>(end - i < N ? end - i : N)};
}

template <int Lanes>
struct Team {
  static constexpr int kThreads = Lanes > kWarp ? Lanes : 128;  // of a block
  const int lane = static_cast<int>(threadIdx.x) % Lanes;

  // f(row, exists) for the team's rows. The teams of a block stay together: a row does not exist
  // for those that have none left while others have.
  template <class F>
  __device__ void for_rows(int64_t rows, const F& f) const {
    const int teams = static_cast<int>(blockDim.x) / Lanes, own = static_cast<int>(threadIdx.x) / Lanes;
    for (int64_t first = static_cast<int64_t>(blockIdx.x) * teams; first < rows;
         first += static_cast<int64_t>(gridDim.x) * teams)
      f(first + own, first + own < rows);
  }
  template <class T, class F>
  __device__ T reduce(T x, const F& combine) const {
    if constexpr (Lanes > kWarp)
      return block_reduce<Lanes>(x, shared_memory<T>(), combine);
    else
      return warp_reduce<Lanes>(x, combine);
  }
  template <class T>
  __device__ T sum(T x) const {
    return reduce(x, [](T a, T b) { return a + b; });
  }
  template <class T>
  __device__ T largest(T x) const {
    return reduce(x, larger<T>);
  }
};

// Starts a kernel of Team<Lanes> on `rows` rows.
template <int Lanes, class Kernel, class... Args>
void start_teams(Stream& s, Kernel kernel, int64_t rows, const Args&... args) {
  constexpr int kThreads = Team<Lanes>::kThreads;
  constexpr size_t kWidest = 32;  // bytes of what a team reduces
  start(s, kernel, blocks_for(rows, kThreads / Lanes), kThreads, Lanes > kWarp ? kThreads / kWarp * kWidest : 0,
        args...);
}

template <int N, int Lanes, class F>
__global__ void __launch_bounds__(Team<Lanes>::kThreads)
    for_rows_kernel(int64_t rows, int64_t n, int64_t cut, int64_t cuts, F f) {
  const Team<Lanes> team;
  team.for_rows(rows * cuts, [&](int64_t task, bool exists) {
    if (!exists) return;
    const int64_t row = cuts == 1 ? task : task / cuts, begin = (task - row * cuts) * cut;
    const int64_t end = begin + cut < n ? begin + cut : n;
    for (int64_t i = begin + team.lane * N; i < end; i += Lanes * N) f(row, pack_at<N>(i, end));
  });
}

// f(row, at) for the packs of (rows, n) numbers of T, f being [=] __device__ (int64_t row, auto at)
// {...} and `at` that of p + row * n.
template <class T, class F>
void for_rows(Stream& s, int64_t rows, int64_t n, const F& f) {
  constexpr int N = Vec<T>::N;
  const auto run = [&]<int Lanes>() {
    constexpr int64_t kCut = Lanes * N * 8;
    const int64_t cuts = div_up(n, kCut);
    start_teams<Lanes>(s, &for_rows_kernel<N, Lanes, F>, rows * cuts, rows, n, kCut, cuts, f);
  };
  n <= 8 * N ? run.template operator()<8>() : run.template operator()<32>();
}

// A team's row (n) of x: in registers where Packs packs a thread are enough, or (Packs = 0) read
// again from memory every time, out of a cache as it will be by then.
template <class T, int Lanes, int Packs>
class Row {
 public:
  static constexpr int N = Vec<T>::N;
  static constexpr bool kept = Packs > 0;

  __device__ Row(const Team<Lanes>& team, const T* x, int64_t n) : x_(x), n_(n), first_(team.lane * N) {
    if constexpr (kept) {
#pragma unroll
      for (int k = 0; k < Packs; ++k)
        if (place(k) < n) packs_[k] = pack_at<N>(place(k), n).load(x);
    }
  }
  // f(at, pack)
  template <class F>
  __device__ void each(const F& f) const {
    if constexpr (kept) {
#pragma unroll
      for (int k = 0; k < Packs; ++k)
        if (place(k) < n_) f(pack_at<N>(place(k), n_), packs_[k]);
    } else {
      for (int64_t i = first_; i < n_; i += Lanes * N) {
        const PackAt<N> at = pack_at<N>(i, n_);
        f(at, at.load(x_));
      }
    }
  }

 private:
  __device__ int64_t place(int k) const { return first_ + k * Lanes * N; }

  const T* x_;
  int64_t n_, first_;
  Vec<T> packs_[kept ? Packs : 1];
};

// f<Lanes, Packs>() as suits rows of n numbers of T. What is in float64 need only be right.
template <class T, class F>
void by_length(int64_t n, const F& f) {
  const int64_t packs = div_up(n, Vec<T>::N);
  if constexpr (sizeof(T) > sizeof(float)) {
    packs <= 32 ? f.template operator()<32, 1>() : f.template operator()<256, 0>();
  } else {
    if (packs <= 8)
      f.template operator()<8, 1>();
    else if (packs <= 32)
      f.template operator()<32, 1>();
    else if (packs <= 128)
      f.template operator()<32, 4>();
    else if (packs <= 256)
      f.template operator()<128, 2>();
    else if (packs <= 4096)
      f.template operator()<256, 0>();
    else
      f.template operator()<1024, 0>();
  }
}

}  // namespace fnn::cuda
