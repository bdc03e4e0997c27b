#include "cuda/fold.cuh"
#include "cuda/math.cuh"
#include "ops/batch_norm/args.h"

namespace fnn::cuda {
namespace {

// Sums of what exceeds the first number, so that little is lost where the mean is large.
template <class T>
struct ShiftedSums {
  T n = 0, base = 0, sum = 0, squares = 0;
  __device__ void add(T x, int64_t) {
    base = n == T(0) ? x : base;
    const T d = x - base;
    n += T(1);
    sum += d;
    squares += d * d;
  }
};

// Count, mean and the sum of squares around it, put together as by Chan, Golub and LeVeque,
// "Updating formulae and a pairwise algorithm for computing sample variances", 1979. The mean is
// base + offset, so that differences of large means are as exact as those of the numbers.
template <class T>
struct Moments {
  using Own = ShiftedSums<T>;
  T n = 0, base = 0, offset = 0, squares = 0;

  Moments() = default;
  __device__ explicit Moments(const Own& s) : n(s.n), base(s.base) {
    if (n == T(0)) return;
    offset = s.sum / n;
    squares = s.squares - s.sum * offset;
  }
  __device__ void add(const Moments& b, int64_t) {
    if (b.n == T(0)) return;
    if (n == T(0)) {
      *this = b;
      return;
    }
    const T d = (b.base - base) + (b.offset - offset), part = b.n / (n + b.n);
    offset += d * part;
    squares += b.squares + d * d * (n * part);
    n += b.n;
  }
  __device__ T mean() const { return base + offset; }
};

// give: what channel i is normalised by.
template <class T>
struct Finish {
  BatchNormFwdArgs<T> a;
  __device__ void operator()(int64_t i, const Moments<T>& m) const {
    const T n = static_cast<T>(a.rows);
    a.mean[i] = m.mean();
    a.inverse_std[i] = T(1) / sqrt(m.squares / n + a.eps);
    if (a.running_mean) a.running_mean[i] += a.momentum * (m.mean() - a.running_mean[i]);
    if (a.running_var) a.running_var[i] += a.momentum * (m.squares / (n - T(1)) - a.running_var[i]);
  }
};

// load: dy, and dy xhat.
template <class T>
struct Terms {
  BatchNormBwdArgs<T> a;
  template <int N>
  __device__ Pack<Two<T>, N> operator()(int64_t offset, PackAt<N> at) const {
    const Pack<T, N> dy = at.load(a.dy + offset);
    const Pack<T, N> dyx = dy * ((at.load(a.x + offset) - at.load(a.mean)) * at.load(a.inverse_std));
    Pack<Two<T>, N> terms;
    for (int j = 0; j < N; ++j) terms.v[j] = {dy.v[j], dyx.v[j]};
    return terms;
  }
};

// give: both sums of channel i.
template <class T>
struct Store {
  T *db, *dw;
  __device__ void operator()(int64_t i, const Two<T>& s) const {
    db[i] = s.first;
    dw[i] = s.second;
  }
};

// Gives what the block's columns come to, where the block has all rows of them.
template <class State, int N, class Load, class Give>
__device__ void fold_and_give(const Columns& c, const ColumnTile<N>& tile, const Load& load, const Give& give) {
  State s[N];
  fold_tile(c, tile, load, s);
  if (tile.y == 0)
    for (int j = 0; j < N; ++j)
      if (j < tile.at.count()) give(tile.at.i + j, s[j]);
  __syncthreads();  // the other threads of the block read it
}

// A block normalises its chunk of rows of some channels, each thread always the same channels. With
// `whole` it has all rows of them, and first finds out by what to normalise.
template <class T, bool whole>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_fwd_kernel(BatchNormFwdArgs<T> a, Columns c) {
  constexpr int N = Vec<T>::N;
  const ColumnTile<N> tile(c);
  const auto& at = tile.at;
  if constexpr (whole)
    fold_and_give<Moments<T>>(c, tile, [&](int64_t offset, auto at) { return at.load(a.x + offset); }, Finish<T>{a});
  Vec<T> mean, inverse_std;
  if (a.training) {
    mean = at.load(a.mean);
    inverse_std = at.load(a.inverse_std);
  } else {
    mean = at.load(a.running_mean);
    inverse_std = Vec<T>(1) / sqrt(at.load(a.running_var) + Vec<T>(a.eps));
    if (tile.y == 0 && blockIdx.y == 0) {
      at.store(a.mean, mean);
      at.store(a.inverse_std, inverse_std);
    }
  }
  const Vec<T> scale = a.w ? inverse_std * at.load(a.w) : inverse_std;
  const Vec<T> shift = a.b ? at.load(a.b) : Vec<T>(0);
  tile.for_rows(c, [&](int64_t offset, int64_t) {
    const Vec<T> y = (at.load(a.x + offset) - mean) * scale;
    at.store(a.y + offset, a.b ? y + shift : y);
  });
}

// The same for dx, and the sums over rows that it needs while training.
template <class T, bool whole>
__global__ void __launch_bounds__(kColumnThreads) batch_norm_bwd_kernel(BatchNormBwdArgs<T> a, Columns c) {
  constexpr int N = Vec<T>::N;
  const ColumnTile<N> tile(c);
  const auto& at = tile.at;
  if constexpr (whole) fold_and_give<Two<T>>(c, tile, Terms<T>{a}, Store<T>{a.db, a.dw});
  if (!a.dx) return;
  const Vec<T> mean = at.load(a.mean), inverse_std = at.load(a.inverse_std), db = at.load(a.db), dw = at.load(a.dw);
  const Vec<T> scale = a.w ? inverse_std * at.load(a.w) : inverse_std, part(T(1) / static_cast<T>(a.rows));
  tile.for_rows(c, [&](int64_t offset, int64_t) {
    Vec<T> dy = at.load(a.dy + offset);
    if (a.training) {
      const Vec<T> xhat = (at.load(a.x + offset) - mean) * inverse_std;
      dy = dy - part * (db + xhat * dw);
    }
    at.store(a.dx + offset, dy * scale);
  });
}

}  // namespace

template <class T>
void batch_norm_fwd(Stream& s, const BatchNormFwdArgs<T>& a) {
  constexpr int N = Vec<T>::N;
  const Columns c = cut_columns(1, a.rows, a.c, N);
  if (a.training && c.chunks == 1)
    return start(s, &batch_norm_fwd_kernel<T, true>, c.grid(), c.threads(), column_shared<Moments<T>, N>(c), a, c);
  if (a.training)
    fold_columns<Moments<T>, N>(
        s, c, [x = a.x] __device__(int64_t offset, auto at) { return at.load(x + offset); }, Finish<T>{a});
  start(s, &batch_norm_fwd_kernel<T, false>, c.grid(), c.threads(), 0, a, c);
}

template <class T>
void batch_norm_bwd(Stream& s, const BatchNormBwdArgs<T>& a) {
  constexpr int N = Vec<T>::N;
  const Columns c = cut_columns(1, a.rows, a.c, N);
  if (c.chunks == 1)
    return start(s, &batch_norm_bwd_kernel<T, true>, c.grid(), c.threads(), column_shared<Two<T>, N>(c), a, c);
  fold_columns<Two<T>, N>(s, c, Terms<T>{a}, Store<T>{a.db, a.dw});
  if (a.dx) start(s, &batch_norm_bwd_kernel<T, false>, c.grid(), c.threads(), 0, a, c);
}

#include "isa/instantiate.h"
#include "ops/batch_norm/kernels.inc"

}  // namespace fnn::cuda
