// One call of the register tile, and the choice among its sizes.
#pragma once

#include "ops/unary/args.h"
#include "tile/gemm_micro.h"

namespace fnn::FNN_ISA {

// A step of gradient descent: C -= rate (A B + decay C).
template <class T>
struct Descent {
  T rate, decay;
};

// C[i, j] = start + sum over k of A[i, k] B[k, j], where start is C itself, a bias of one
// value a column, or 0; or a step of gradient descent, where the product is the gradient of C.
template <class T>
struct TileOutput {
  T* c;  // (rows, ldc)
  int64_t ldc;
  int rows, cols;                       // up to most_rows<T>(cols), kTileCols<T>
  bool accumulate;                      // start from C
  const T* bias;                        // (cols) or null
  const Descent<T>* descent = nullptr;  // or null
};

template <class T>
struct Tile : TileOutput<T> {
  const T* a;  // rows: (rows, lda), columns: (k, lda)
  int64_t lda;
  ALayout layout;
  Segments k;
  const T* b;  // (k, ldb)
  int64_t ldb;
  bool b_padded;       // B has whole vectors in every row, so none is loaded in part
  int64_t b_skip = 0;  // added to ldb from one segment of k to the next
  // That many tiles, one after the other, each so far behind the one before.
  int64_t count = 1, a_step = 0, c_step = 0;
};

// Runs the tiles; tile.cc holds the sizes.
template <class T>
void run_tile(const Tile<T>& t);

// As many tiles of `step` rows as fit into `rows`, and one of the rest.
template <class T>
FNN_INLINE void run_tiles(Tile<T>& t, int64_t rows, int step) {
  t.rows = step;
  t.count = rows / step;
  if (t.count > 0) run_tile(t);
  t.rows = static_cast<int>(rows % step);
  if (t.rows == 0) return;
  t.a += t.count * t.a_step;
  t.c += t.count * t.c_step;
  t.count = 1;
  run_tile(t);
}

template <class T>
FNN_INLINE int most_rows(int64_t cols) {
  return cols <= Vec<T>::N ? kMaxThinRows : kMaxRows;
}

// Rows for each of the fewest tiles that cover `rows`, spread evenly.
FNN_INLINE int even_rows(int64_t rows, int most = kMaxRows) {
  const int64_t tiles = (rows + most - 1) / most;
  return static_cast<int>(tiles > 0 ? (rows + tiles - 1) / tiles : 1);
}

}  // namespace fnn::FNN_ISA
