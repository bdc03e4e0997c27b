#include <limits>

#include "cuda/fold.cuh"
#include "ops/reduce/args.h"

namespace fnn::cuda {
namespace {

// The largest number and its first place; NaN wins.
template <class T>
struct Extreme {
  using Limits = std::numeric_limits<T>;

  T value = Limits::has_infinity ? -Limits::infinity() : Limits::min();
  int64_t place = std::numeric_limits<int64_t>::max();

  __device__ void add(T x, int64_t at) {
    const bool nan = x != x, has_nan = value != value;
    const bool better = x > value || (nan && !has_nan), same = x == value || (nan && has_nan);
    if (!better && !(same && at < place)) return;
    value = x;
    place = at;
  }
  __device__ void add(const Extreme& b, int64_t) { add(b.value, b.place); }
};

// Numbers in the opposite order, without loss: the smallest is then the largest.
template <class T>
__device__ T turned(T x, bool turn) {
  if constexpr (std::is_integral_v<T>)
    return turn ? static_cast<T>(~x) : x;
  else
    return turn ? -x : x;
}

// The states of x (outer, reduced, inner) along the middle.
template <class State, class T, class Load, class Give>
void fold(Stream& s, int64_t outer, int64_t reduced, int64_t inner, const Load& load, const Give& give) {
  constexpr int kRowPack = Vec<T>::N, kColumnPack = kRowPack < 4 ? kRowPack : 4;  // a state for each of these
  if (inner == 1)
    fold_rows<State, kRowPack>(s, outer, reduced, load, give);
  else
    fold_columns<State, kColumnPack>(s, cut_columns(outer, reduced, inner, kColumnPack), load, give);
}

// A block writes the rows of its columns; each thread knows where its columns' ones stand.
template <class T>
__global__ void __launch_bounds__(kColumnThreads) reduce_max_bwd_kernel(ReduceMaxBwdArgs<T> a, Columns c) {
  constexpr int N = Vec<T>::N;
  const ColumnTile<N> tile(c);
  const auto index = tile.at.load(a.index + tile.o * a.inner);
  const Vec<T> dy = tile.at.load(a.dy + tile.o * a.inner);
  tile.for_rows(c, [&](int64_t offset, int64_t r) {
    Vec<T> dx;
    for (int j = 0; j < N; ++j) dx.v[j] = index.v[j] == r ? dy.v[j] : T(0);
    tile.at.store(a.dx + offset, dx);
  });
}

}  // namespace

template <class T>
void reduce_sum(Stream& s, const ReduceSumArgs<T>& a) {
  fold<Sum<T>, T>(
      s, a.outer, a.reduced, a.inner, [x = a.x] __device__(int64_t offset, auto at) { return at.load(x + offset); },
      ScaledSum<T>{a.y, a.scale});
}

template <class T>
void reduce_max(Stream& s, const ReduceMaxArgs<T>& a) {
  fold<Extreme<T>, T>(
      s, a.outer, a.reduced, a.inner,
      [x = a.x, turn = a.minimum] __device__(int64_t offset, auto at) {
        return each(at.load(x + offset), [turn](T x) { return turned(x, turn); });
      },
      [y = a.y, index = a.index, turn = a.minimum] __device__(int64_t i, const Extreme<T>& s) {
        y[i] = turned(s.value, turn);
        index[i] = s.place;
      });
}

template <class T>
void reduce_max_bwd(Stream& s, const ReduceMaxBwdArgs<T>& args) {
  if (args.inner > 1) {
    const Columns c = cut_columns(args.outer, args.reduced, args.inner, Vec<T>::N);
    return start(s, &reduce_max_bwd_kernel<T>, c.grid(), c.threads(), 0, args, c);
  }
  for_rows<T>(s, args.outer, args.reduced, [a = args] __device__(int64_t row, auto at) {
    const int64_t index = a.index[row];
    const T dy = a.dy[row];
    Vec<T> dx;
    for (int j = 0; j < Vec<T>::N; ++j) dx.v[j] = at.i + j == index ? dy : T(0);
    at.store(a.dx + row * a.reduced, dx);
  });
}

#include "isa/instantiate.h"
#include "ops/reduce/kernels.inc"

}  // namespace fnn::cuda
