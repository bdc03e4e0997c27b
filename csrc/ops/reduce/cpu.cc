#include "ops/reduce/args.h"

#include "tile/reduce.h"

namespace fnn::FNN_ISA {

template <class T>
FNN_INLINE void sum_block(const T* x, int64_t rows, int64_t inner, T* y) {
  if constexpr (T(0.5) == T(0)) {  // integers
    for (int64_t i = 0; i < inner; ++i) {
      uint64_t total = 0;
      for (int64_t r = 0; r < rows; ++r) total += static_cast<uint64_t>(x[r * inner + i]);
      y[i] = static_cast<T>(total);
    }
  } else if (inner == 1) {
    *y = row_sum(x, rows);
  } else {
    column_sums(x, rows, inner, y, inner);
  }
}

template <class T>
void reduce_sum(Stream& s, const ReduceSumArgs<T>& a) {
  constexpr int64_t kChunk = 16384;  // elements
  int64_t rows = a.inner > 0 ? kChunk / a.inner : 1;
  if (rows < 64) rows = 64;
  const int64_t chunks = a.reduced > rows ? (a.reduced + rows - 1) / rows : 1;
  T* partial = chunks == 1 ? a.y : static_cast<T*>(s.workspace(a.outer * chunks * a.inner * sizeof(T)));
  const int64_t block = (a.reduced < rows ? a.reduced : rows) * a.inner;
  parallel_for(s, a.outer * chunks, block < kChunk ? kChunk / (block + 1) + 1 : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / chunks, r = i % chunks * rows, left = a.reduced - r;
      sum_block(a.x + (o * a.reduced + r) * a.inner, left < rows ? left : rows, a.inner, partial + i * a.inner);
    }
  });
  if (chunks > 1)
    for (int64_t o = 0; o < a.outer; ++o) sum_block(partial + o * chunks * a.inner, chunks, a.inner, a.y + o * a.inner);
  if (a.scale != T(1))
    for (int64_t i = 0; i < a.outer * a.inner; ++i) a.y[i] *= a.scale;
}

// x of row r takes the place of what is smaller (or larger): NaN wins, ties keep the first.
template <bool minimum, class V, class M>
FNN_INLINE void keep_extreme(V x, M r, V& best, M& place) {
  const M better = M(minimum ? x < best : x > best) | (M(x != x) & M(best == best));
  best = select(better, x, best);
  place = better ? r : place;
}

// One row of n numbers, its lanes apart until the end.
template <bool minimum, class T>
void extreme_of_row(const T* x, int64_t n, T* y, int64_t* index) {
  using Int = typename Vec<T>::Int;
  constexpr int N = Vec<T>::N;
  T best = x[0];
  int64_t place = 0, i = 0;
  if (n >= N && n <= (int64_t{1} << 31)) {
    typename Vec<T>::Mask at = {}, places = {};
    for (int j = 0; j < N; ++j) at[j] = places[j] = j;
    Vec<T> lanes = Vec<T>::load(x);
    for (i = N; i + N <= n; i += N) {
      at += Int(N);
      keep_extreme<minimum>(Vec<T>::load(x + i), at, lanes, places);
    }
    best = lanes.v[0];
    place = places[0];
    for (int j = 1; j < N; ++j) {
      const T v = lanes.v[j];
      const bool same = v == best || (v != v && best != best);
      const bool better = (minimum ? v < best : v > best) || (v != v && best == best);
      if (better || (same && places[j] < place)) {
        best = v;
        place = places[j];
      }
    }
  }
  for (; i < n; ++i)
    if ((minimum ? x[i] < best : x[i] > best) || (x[i] != x[i] && best == best)) {
      best = x[i];
      place = i;
    }
  *y = best;
  *index = place;
}

// K vectors of columns beside each other.
template <bool minimum, int K, class T, class At>
FNN_INLINE void extremes_of_columns(const At (&at)[K], const T* x, int64_t rows, int64_t stride, T* y, int64_t* index) {
  using Mask = typename Vec<T>::Mask;
  Vec<T> best[K];
  Mask places[K] = {}, r = {};
  for (int k = 0; k < K; ++k) best[k] = at[k].load(x);
  for (int64_t i = 1; i < rows; ++i) {
    r += 1;
    for (int k = 0; k < K; ++k) keep_extreme<minimum>(at[k].load(x + i * stride), r, best[k], places[k]);
  }
  for (int k = 0; k < K; ++k) {
    at[k].store(y, best[k]);
    for (int j = 0; j < at[k].count(); ++j) index[at[k].i + j] = places[k][j];
  }
}

template <bool minimum, class T>
void extremes(Stream& s, const ReduceMaxArgs<T>& a) {
  const int64_t size = a.reduced * a.inner;
  if constexpr (T(0.5) == T(0)) {  // integers
    parallel_for(s, a.outer, 16384 / (size + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o)
        for (int64_t i = 0; i < a.inner; ++i) {
          const T* x = a.x + o * size + i;
          int64_t place = 0;
          for (int64_t r = 1; r < a.reduced; ++r)
            if (minimum ? x[r * a.inner] < x[place * a.inner] : x[r * a.inner] > x[place * a.inner]) place = r;
          a.y[o * a.inner + i] = x[place * a.inner];
          a.index[o * a.inner + i] = place;
        }
    });
  } else if (a.inner == 1) {
    parallel_for(s, a.outer, 16384 / (size + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) extreme_of_row<minimum>(a.x + o * size, size, a.y + o, a.index + o);
    });
  } else {
    constexpr int K = 4, N = Vec<T>::N;
    const int64_t cuts = (a.inner + K * N - 1) / (K * N);
    parallel_for(s, a.outer * cuts, 16384 / (a.reduced * K * N) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t o = task / cuts, i = task % cuts * K * N;
        const T* x = a.x + o * size;
        T* y = a.y + o * a.inner;
        int64_t* index = a.index + o * a.inner;
        if (i + K * N <= a.inner) {
          Whole<T> at[K];
          for (int k = 0; k < K; ++k) at[k] = {i + k * N};
          extremes_of_columns<minimum>(at, x, a.reduced, a.inner, y, index);
        } else {
          for_vec<T>(i, a.inner, [&](auto at) {
            const decltype(at) one[1] = {at};
            extremes_of_columns<minimum>(one, x, a.reduced, a.inner, y, index);
          });
        }
      }
    });
  }
}

template <class T>
void reduce_max(Stream& s, const ReduceMaxArgs<T>& a) {
  a.minimum ? extremes<true>(s, a) : extremes<false>(s, a);
}

template <class T>
void reduce_max_bwd(Stream& s, const ReduceMaxBwdArgs<T>& a) {
  const int64_t size = a.reduced * a.inner;
  parallel_for(s, a.outer, 16384 / (size + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * size; i < end * size; ++i) a.dx[i] = T(0);
    for (int64_t o = begin; o < end; ++o)
      for (int64_t i = 0; i < a.inner; ++i)
        a.dx[o * size + a.index[o * a.inner + i] * a.inner + i] = a.dy[o * a.inner + i];
  });
}

#include "isa/instantiate.h"
#include "ops/reduce/kernels.inc"

}  // namespace fnn::FNN_ISA
