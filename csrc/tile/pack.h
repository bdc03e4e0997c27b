// Copies of a matrix in the order in which the register tile reads it.
#pragma once

#include "tile/tile.h"

namespace fnn::FNN_ISA {

// Interleaves the low or the high halves of two vectors: a0 b0 a1 b1 ...
template <class T>
FNN_INLINE void zip(Vec<T> a, Vec<T> b, Vec<T>& low, Vec<T>& high) {
  constexpr int N = Vec<T>::N;
  using Mask = typename Vec<T>::Mask;
#if defined(__clang__)
  for (int i = 0; i < N / 2; ++i) {
    low.v[2 * i] = a.v[i];
    low.v[2 * i + 1] = b.v[i];
    high.v[2 * i] = a.v[N / 2 + i];
    high.v[2 * i + 1] = b.v[N / 2 + i];
  }
#else
  Mask lo, hi;
  for (int i = 0; i < N / 2; ++i) {
    lo[2 * i] = i;
    lo[2 * i + 1] = N + i;
    hi[2 * i] = N / 2 + i;
    hi[2 * i + 1] = N + N / 2 + i;
  }
  low.v = __builtin_shuffle(a.v, b.v, lo);
  high.v = __builtin_shuffle(a.v, b.v, hi);
#endif
}

// Transposes a square of vectors: log2(N) rounds of interleaving rows i and i + N/2.
template <class T>
FNN_INLINE void transpose_square(Vec<T> (&r)[Vec<T>::N]) {
  constexpr int N = Vec<T>::N;
#pragma GCC unroll 4
  for (int round = 1; round < N; round *= 2) {
    Vec<T> next[N];
#pragma GCC unroll 8
    for (int i = 0; i < N / 2; ++i) zip(r[i], r[i + N / 2], next[2 * i], next[2 * i + 1]);
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
  for (int64_t j = 0; j < W; ++j) last[j] = c + j < n ? b[c + j] : T(0);
}

// `rows` rows of A as (k, rows): the tile's column layout with lda = rows.
template <class T>
void pack_a_tile(const T* a, int64_t lda, ALayout layout, int64_t k, int rows, T* y) {
  if (layout == ALayout::rows) return transpose_block(a, lda, rows, k, y, rows);
  for (int64_t r = 0; r < k; ++r, a += lda, y += rows) for_vec<T>(0, rows, [&](auto at) { at.store(y, at.load(a)); });
}

}  // namespace fnn::FNN_ISA
