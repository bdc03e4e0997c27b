// What rows or columns come to: sums, extremes, moments. A state takes up numbers one by one and
// other states whole; what is long is cut into chunks, whose states are put together by a second
// kernel. Sizes alone decide who takes what, and in which order, so that every GPU and every run
// gives the same bits.
//
//   state.add(x, place)   one more number, which stands at `place` of the dimension that goes away
//   state.add(other, 0)   what another state has taken up
//   load(offset, at)      a pack of numbers: `at` of the row that begins at `offset`
//   give(i, state)        what result i comes to
#pragma once

#include <type_traits>

#include "cuda/team.cuh"

namespace fnn::cuda {

// Integers wrap around.
template <class T>
FNN_INLINE T plus(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) + static_cast<std::make_unsigned_t<T>>(b));
  else
    return a + b;
}

template <class T>
struct Sum {
  T total = 0;
  __device__ void add(T x, int64_t) { total = plus(total, x); }
  __device__ void add(const Sum& b, int64_t) { total = plus(total, b.total); }
};

// give: *y = scale * sum
template <class T>
struct ScaledSum {
  T* y;
  T scale;
  __device__ void operator()(int64_t i, const Sum<T>& s) const { y[i] = s.total * scale; }
};

// Two sums at once; also what each of their terms is.
template <class T>
struct Two {
  T first = 0, second = 0;
  __device__ void add(const Two& b, int64_t) {
    first += b.first;
    second += b.second;
  }
};

// States of chunks, put away and taken up again.
template <class State>
struct Chunks {
  State* p;
  __device__ void operator()(int64_t i, const State& s) const { p[i] = s; }
  __device__ Pack<State, 1> operator()(int64_t offset, PackAt<1> at) const {
    Pack<State, 1> s;
    s.v[0] = p[offset + at.i];
    return s;
  }
};

// What a thread keeps of the numbers that it takes up: a State, or a State::Own that becomes one.
template <class State, class Value>
struct Taking {
  using type = State;
};
template <class State, class Value>
  requires(!std::is_same_v<State, Value>) && requires { typename State::Own; }
struct Taking<State, Value> {
  using type = typename State::Own;
};
template <class State, class Load, int N>
using TakingOf = typename Taking<
    State, std::remove_cvref_t<decltype(std::declval<const Load&>()(int64_t{}, std::declval<PackAt<N>>()).v[0])>>::type;

// --- rows ---------------------------------------------------------------------------------------

// A team takes a chunk of a row.
template <class State, int N, int Lanes, class Load, class Give>
__global__ void __launch_bounds__(Team<Lanes>::kThreads)
    fold_rows_kernel(int64_t rows, int64_t n, int64_t chunk, int64_t chunks, Load load, Give give) {
  const Team<Lanes> team;
  team.for_rows(rows * chunks, [&](int64_t task, bool exists) {
    TakingOf<State, Load, N> own;
    if (exists) {
      const int64_t row = chunks == 1 ? task : task / chunks, begin = (task - row * chunks) * chunk;
      const int64_t end = begin + chunk < n ? begin + chunk : n;
      for (int64_t i = begin + team.lane * N; i < end; i += Lanes * N) {
        const PackAt<N> at = pack_at<N>(i, end);
        const auto x = load(row * n, at);
#pragma unroll
        for (int j = 0; j < N; ++j)
          if (j < at.count()) own.add(x.v[j], i + j);
      }
    }
    const State s = team.reduce(State(own), [](State a, const State& b) {
      a.add(b, 0);
      return a;
    });
    if (exists && team.lane == 0) give(task, s);
  });
}

template <class State, int N, int Lanes, class Load, class Give>
void fold_chunks(Stream& s, int64_t rows, int64_t n, int64_t chunk, const Load& load, const Give& give) {
  const int64_t chunks = n > chunk ? div_up(n, chunk) : 1;
  start_teams<Lanes>(s, &fold_rows_kernel<State, N, Lanes, Load, Give>, rows * chunks, rows, n, chunk, chunks, load,
                     give);
}

// A state for each of `rows` rows of n numbers, which load gives N at a time. This one is for few
// rows that may be long: each has a block, or several where that alone would not fill a GPU.
template <class State, int N, class Load, class Give>
void fold_long_rows(Stream& s, int64_t rows, int64_t n, const Load& load, const Give& give) {
  constexpr int64_t kChunk = 4096, kBlocks = 2048;
  const int64_t most = rows > 0 ? kBlocks / rows : 0;
  if (n <= 4 * kChunk || most < 2) return fold_chunks<State, N, 256>(s, rows, n, n, load, give);
  int64_t chunks = div_up(n, kChunk);
  if (chunks > most) chunks = most;
  const int64_t chunk = div_up(div_up(n, chunks), 64) * 64;  // whole packs
  chunks = div_up(n, chunk);
  const Chunks<State> states{static_cast<State*>(workspace(s, rows * chunks * sizeof(State)))};
  fold_chunks<State, N, 256>(s, rows, n, chunk, load, states);
  fold_chunks<State, 1, 256>(s, rows, chunks, chunks, states, give);
}

// The same for rows of any length.
template <class State, int N, class Load, class Give>
void fold_rows(Stream& s, int64_t rows, int64_t n, const Load& load, const Give& give) {
  if (n <= 4 * N)
    fold_chunks<State, N, 4>(s, rows, n, n, load, give);
  else if (n <= 32 * N || (n <= 256 * N && rows >= 8192))
    fold_chunks<State, N, 32>(s, rows, n, n, load, give);
  else
    fold_long_rows<State, N>(s, rows, n, load, give);
}

// --- columns --------------------------------------------------------------------------------------

constexpr int kColumnThreads = 256;

// (outer, rows, inner), from which the rows go away. The packs of all (outer, inner) are numbered
// on; a block takes `x` of them that are neighbours, and of its chunk of the rows `y` at a time.
struct Columns {
  int64_t outer, rows, inner, packs;  // packs of one `inner`
  int x, y;
  int64_t tiles, chunk, chunks;

  unsigned threads() const { return static_cast<unsigned>(x * y); }
  dim3 grid() const { return dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(chunks)); }
};

// `narrow`: how many packs side by side make reading efficient.
inline Columns cut_columns(int64_t outer, int64_t rows, int64_t inner, int N, int narrow = 16) {
  Columns c{outer, rows, inner, div_up(inner, N), 1, 1, 0, rows, 1};
  const int64_t packs = outer * c.packs;
  if (packs == 0) return c;
  const int64_t deep = rows > 4 ? div_up(rows, 4) : 1, wide = kColumnThreads / deep;
  c.tiles = div_up(packs, wide > narrow ? wide : narrow);
  c.x = static_cast<int>(div_up(packs, c.tiles));
  c.tiles = div_up(packs, c.x);
  const int y = kColumnThreads / c.x;
  c.y = rows >= y ? y : rows > 0 ? static_cast<int>(rows) : 1;
  constexpr int64_t kBlocks = 1024;  // enough to fill a GPU
  if (rows <= 32 * c.y || c.tiles > kBlocks / 2) return c;
  const int64_t most = kBlocks / c.tiles, chunks = div_up(rows, 8 * c.y);
  c.chunk = div_up(div_up(rows, chunks < most ? chunks : most), c.y) * c.y;
  c.chunks = div_up(rows, c.chunk);
  return c;
}

// What a thread of a block has: a pack of columns, and every c.y-th of the rows [first, last).
template <int N>
struct ColumnTile {
  int y;
  bool exists;
  int64_t o = 0, first, last;
  PackAt<N> at{0, 0};

  __device__ explicit ColumnTile(const Columns& c) {
    y = static_cast<int>(threadIdx.x) / c.x;
    const int64_t pack = static_cast<int64_t>(blockIdx.x) * c.x + static_cast<int>(threadIdx.x) % c.x;
    const int64_t begin = blockIdx.y * c.chunk, end = begin + c.chunk;
    first = begin + y;
    last = end < c.rows ? end : c.rows;
    exists = pack < c.outer * c.packs;
    if (!exists) return;
    o = c.outer == 1 ? 0 : pack / c.packs;
    at = pack_at<N>((pack - o * c.packs) * N, c.inner);
  }
  // f(offset, row): where a row begins.
  template <class F>
  __device__ void for_rows(const Columns& c, const F& f) const {
    if (!exists) return;
    int64_t offset = (o * c.rows + first) * c.inner;
#pragma unroll 4
    for (int64_t r = first; r < last; r += c.y, offset += c.y * c.inner) f(offset, r);
  }
};

template <class State, int N>
size_t column_shared(const Columns& c) {
  return c.y > 1 ? c.threads() * N * sizeof(State) : 0;
}

// The states of the block's columns, complete in the threads with y = 0.
template <class State, int N, class Load>
__device__ void fold_tile(const Columns& c, const ColumnTile<N>& tile, const Load& load, State (&s)[N]) {
  TakingOf<State, Load, N> own[N];
  tile.for_rows(c, [&](int64_t offset, int64_t r) {
    const auto x = load(offset, tile.at);
#pragma unroll
    for (int j = 0; j < N; ++j) own[j].add(x.v[j], r);
  });
#pragma unroll
  for (int j = 0; j < N; ++j) s[j] = State(own[j]);
  if (c.y == 1) return;
  const int threads = c.x * c.y;
  State* mine = shared_memory<State>() + threadIdx.x;  // those of other columns `threads` further on
#pragma unroll
  for (int j = 0; j < N; ++j) mine[j * threads] = s[j];
  for (int left = c.y; left > 1;) {
    const int half = (left + 1) / 2;
    __syncthreads();
    if (tile.y + half < left) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        s[j].add(mine[j * threads + half * c.x], 0);
        mine[j * threads] = s[j];
      }
    }
    left = half;
  }
}

template <class State, int N, class Load, class Give>
__global__ void __launch_bounds__(kColumnThreads) fold_columns_kernel(Columns c, Load load, Give give) {
  const ColumnTile<N> tile(c);
  State s[N];
  fold_tile(c, tile, load, s);
  if (tile.y > 0) return;
#pragma unroll
  for (int j = 0; j < N; ++j)
    if (j < tile.at.count()) give((tile.o * c.chunks + blockIdx.y) * c.inner + tile.at.i + j, s[j]);
}

// A state for each of the (outer, inner) columns, which load gives N at a time.
template <class State, int N, class Load, class Give>
void fold_columns(Stream& s, const Columns& c, const Load& load, const Give& give) {
  const auto run = [&s]<int M, class L, class G>(const Columns& c, const L& load, const G& give) {
    start(s, &fold_columns_kernel<State, M, L, G>, c.grid(), c.threads(), column_shared<State, M>(c), c, load, give);
  };
  if (c.chunks == 1) return run.template operator()<N>(c, load, give);
  const Chunks<State> states{static_cast<State*>(workspace(s, c.outer * c.chunks * c.inner * sizeof(State)))};
  run.template operator()<N>(c, load, states);
  run.template operator()<1>(cut_columns(c.outer, c.chunks, c.inner, 1, 2), states, give);
}

// give(column, sum) for each column of (rows, columns), f(at) being the pack there.
template <class T, class F, class Give>
void column_sums(Stream& s, int64_t rows, int64_t columns, const F& f, const Give& give) {
  constexpr int N = Vec<T>::N;
  const auto load = [f] __device__(int64_t offset, PackAt<N> at) {
    at.i += offset;
    return f(at);
  };
  fold_columns<Sum<T>, N>(s, cut_columns(1, rows, columns, N), load, give);
}

}  // namespace fnn::cuda
