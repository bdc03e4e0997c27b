// Copies of a matrix in the order in which the register tile reads it.
#pragma once

#include "tile/tile.h"

namespace fnn::FNN_ISA {

// Where transposing stays within 16 bytes: AVX2 interleaves there in one instruction, and
// crosses its halves in three.
template <class T>
constexpr int kInterleaved = kVecBytes == 32 ? 16 / static_cast<int>(sizeof(T)) : Vec<T>::N;

template <class T>
FNN_INLINE Vec<T> shuffled(Vec<T> a, Vec<T> b, const typename Vec<T>::Mask& from) {
#if defined(__clang__)
  Vec<T> y;
  for (int i = 0; i < Vec<T>::N; ++i) y.v[i] = from[i] < Vec<T>::N ? a.v[from[i]] : b.v[from[i] - Vec<T>::N];
  return y;
#else
  return __builtin_shuffle(a.v, b.v, from);
#endif
}

// Interleaves the low or the high halves of two vectors, a0 b0 a1 b1 ..., in each part of L lanes.
template <int L, class T>
FNN_INLINE void zip(Vec<T> a, Vec<T> b, Vec<T>& low, Vec<T>& high) {
  constexpr int N = Vec<T>::N;
  typename Vec<T>::Mask lo, hi;
  for (int i = 0; i < N; ++i) {
    lo[i] = i / L * L + i % L / 2 + i % 2 * N;
    hi[i] = lo[i] + L / 2;
  }
  low = shuffled(a, b, lo);
  high = shuffled(a, b, hi);
}

// The low halves of a and b, and the high ones.
template <class T>
FNN_INLINE void exchange_halves(Vec<T>& a, Vec<T>& b) {
  constexpr int N = Vec<T>::N;
  typename Vec<T>::Mask lo, hi;
  for (int i = 0; i < N; ++i) {
    lo[i] = i < N / 2 ? i : i + N / 2;
    hi[i] = lo[i] + N / 2;
  }
  const Vec<T> low = shuffled(a, b, lo);
  b = shuffled(a, b, hi);
  a = low;
}

// Transposes a square of vectors: log2(L) rounds of interleaving rows i and i + L/2 of each L.
template <class T>
FNN_INLINE void transpose_square(Vec<T> (&r)[Vec<T>::N]) {
  constexpr int N = Vec<T>::N, L = kInterleaved<T>;
  static_assert(N == L || N == 2 * L);
  if constexpr (N > L) {
#pragma GCC unroll 8
    for (int i = 0; i < L; ++i) exchange_halves(r[i], r[i + L]);
  }
#pragma GCC unroll 4
  for (int round = 1; round < L; round *= 2) {
    Vec<T> next[N];
#pragma GCC unroll 8
    for (int i = 0; i < N / 2; ++i) {
      const int from = i / (L / 2) * L + i % (L / 2), to = i / (L / 2) * L + i % (L / 2) * 2;
      zip<L>(r[from], r[from + L / 2], next[to], next[to + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) r[i] = next[i];
  }
}

// One square, of `rows` x `cols` numbers that count.
template <class T, bool whole>
FNN_INLINE void transpose_at(const T* x, int64_t ldx, int rows, int cols, T* y, int64_t ldy) {
  constexpr int N = Vec<T>::N;
  Vec<T> square[N];
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i)
    square[i] = whole ? Vec<T>::load(x + i * ldx) : i < rows ? Vec<T>::load(x + i * ldx, cols) : Vec<T>(0);
  transpose_square(square);
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) {
    if (whole)
      square[i].store(y + i * ldy);
    else if (i < cols)
      square[i].store(y + i * ldy, rows);
  }
}

// y[c * ldy + r] = x[r * ldx + c] for r < rows, c < cols.
template <class T>
void transpose_block(const T* x, int64_t ldx, int64_t rows, int64_t cols, T* y, int64_t ldy) {
  constexpr int N = Vec<T>::N;
  for (int64_t r = 0; r < rows; r += N)
    for (int64_t c = 0; c < cols; c += N) {
      const int nr = static_cast<int>(rows - r < N ? rows - r : N), nc = static_cast<int>(cols - c < N ? cols - c : N);
      const T* from = x + r * ldx + c;
      T* to = y + c * ldy + r;
      nr == N&& nc == N ? transpose_at<T, true>(from, ldx, N, N, to, ldy)
                        : transpose_at<T, false>(from, ldx, nr, nc, to, ldy);
    }
}

// B (k, n) is packed as panels of kTileCols columns, each (k, kTileCols) and zero-padded:
// panel j at y + j * k * kTileCols.

// One panel of `cols` columns from a transposed B: B[r, c] = b[c * ldb + r].
template <class T>
void pack_transposed_panel(const T* b, int64_t ldb, int64_t k, int64_t cols, T* y) {
  constexpr int W = kTileCols<T>;
  if (cols < W)
    for (int64_t r = 0; r < k; ++r)
      for (int64_t c = cols; c < W; ++c) y[r * W + c] = T(0);
  transpose_block(b, ldb, cols, k, y, W);
}

// Row r of B, from its n neighbouring numbers, to all panels: read in order, as memory likes it.
template <class T>
FNN_INLINE void pack_row(const T* b, int64_t n, int64_t k, int64_t r, T* y) {
  constexpr int W = kTileCols<T>, N = Vec<T>::N;
  int64_t c = 0;
  for (; c + W <= n; c += W)
#pragma GCC unroll 4
    for (int j = 0; j < W; j += N) Vec<T>::load(b + c + j).store(y + c * k + r * W + j);
  if (c == n) return;
  T* last = y + c * k + r * W;
#pragma GCC unroll 4
  for (int j = 0; j < W; j += N, c += N) {
    const int64_t left = n - c;
    (left >= N  ? Vec<T>::load(b + c)
     : left > 0 ? Vec<T>::load(b + c, static_cast<int>(left))
                : Vec<T>(0))
        .store(last + j);
  }
}

// `rows` rows of A as (k, rows), the tile's column layout: one stream to read. May write up to
// a vector beyond.
template <class T>
void pack_a_tile(const T* a, int64_t lda, ALayout layout, int64_t k, int64_t rows, T* y) {
  constexpr int N = Vec<T>::N;
  if (layout == ALayout::columns) {
    for (int64_t r = 0; r < k; ++r, a += lda, y += rows) for_vec<T>(0, rows, [&](auto at) { at.store(y, at.load(a)); });
    return;
  }
  if (rows > N) return transpose_block(a, lda, rows, k, y, rows);
  for_vec<T>(0, k, [&](auto at) {
    Vec<T> square[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) square[i] = i < rows ? at.load(a + i * lda) : Vec<T>(0);
    transpose_square(square);
    T* to = y + at.i * rows;  // whole vectors: what lies behind a column is written after it
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i, to += rows)
      if (i < at.count()) square[i].store(to);
  });
}

}  // namespace fnn::FNN_ISA
