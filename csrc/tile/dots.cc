#include "tile/dots.h"

namespace fnn::FNN_ISA {
namespace {

constexpr int kDotRows = 4;

// `next` is a row of B that will be needed: it comes from afar meanwhile.
template <class T, int MR, int NC>
void dots_tile(const Dots<T>& d, int64_t row, int64_t col, const T* next) {
  const T *a = d.a + row * d.lda, *b = d.b + col * d.ldb;
  Vec<T> acc[MR][NC];
  for (auto& of_row : acc)
    for (auto& v : of_row) v = Vec<T>(0);
  for_vec<T>(0, d.k, [&](auto at) {
    __builtin_prefetch(next + at.i);
    Vec<T> bv[NC];
#pragma GCC unroll 8
    for (int j = 0; j < NC; ++j) bv[j] = at.load(b + j * d.ldb);
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) {
      const Vec<T> av = at.load(a + i * d.lda);
#pragma GCC unroll 8
      for (int j = 0; j < NC; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
    }
  });
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NC; ++j) {
      T& c = d.c[(row + i) * d.ldc + col + j];
      c = (d.accumulate ? c : d.bias ? d.bias[col + j] : T(0)) + sum(acc[i][j]);
    }
}

template <class T, int NC>
void dots_columns(const Dots<T>& d, int64_t col) {
  static_assert(kDotRows == 4);
  const int64_t tiles = (d.rows + kDotRows - 1) / kDotRows;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t row = d.rows * t / tiles;
    const T* next = d.b + (col + NC + t) * d.ldb;
    switch (d.rows * (t + 1) / tiles - row) {
      case 1: dots_tile<T, 1, NC>(d, row, col, next); break;
      case 2: dots_tile<T, 2, NC>(d, row, col, next); break;
      case 3: dots_tile<T, 3, NC>(d, row, col, next); break;
      default: dots_tile<T, kDotRows, NC>(d, row, col, next);
    }
  }
}

}  // namespace

template <class T>
void run_dots(const Dots<T>& d) {
  int64_t col = 0;
  for (; col + kDotCols <= d.cols; col += kDotCols) dots_columns<T, kDotCols>(d, col);
  for (; col < d.cols; ++col) dots_columns<T, 1>(d, col);
}

template void run_dots<float>(const Dots<float>&);
template void run_dots<double>(const Dots<double>&);

}  // namespace fnn::FNN_ISA
