// Products of few rows with a transposed matrix, which is read once, where it lies.
#pragma once

#include "simd/vec.h"

namespace fnn::FNN_ISA {

// Columns at a time, of up to 4 rows. Sums, rows of B and one of A: all of 16 registers, 31 of
// AVX-512's 32.
constexpr int kDotCols = kVecBytes == 64 ? 6 : 3;

// C[i, j] = start + sum over k of a[i * lda + k] b[j * ldb + k], where start is C itself, a bias
// of one value a column, or 0. The sum runs over the lanes of a vector first.
template <class T>
struct Dots {
  const T* a;  // (rows, lda)
  int64_t lda;
  const T* b;  // (cols, ldb)
  int64_t ldb;
  int64_t rows, cols, k;
  T* c;  // (rows, ldc)
  int64_t ldc;
  bool accumulate;
  const T* bias;  // (cols) or null
};

template <class T>
void run_dots(const Dots<T>& d);

}  // namespace fnn::FNN_ISA
