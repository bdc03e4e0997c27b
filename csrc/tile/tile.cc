// Every size of the register tile, compiled once per instruction set and reached
// through a table.
#include "tile/tile.h"

namespace fnn::FNN_ISA {
namespace {

template <class T, int MR, int NV, ALayout layout>
FNN_INLINE void one_tile(const Tile<T>& t, const T* a, T* c) {
  constexpr int N = Vec<T>::N;
  const int tail = t.cols - (NV - 1) * N;
  Vec<T> acc[MR][NV];
  const auto load = [&](const T* p, int j) {
    return j == NV - 1 && tail != N ? Vec<T>::load(p + j * N, tail) : Vec<T>::load(p + j * N);
  };
  const Vec<T> zero(0);
#pragma GCC unroll 4
  for (int j = 0; j < NV; ++j) {
    const Vec<T> start = t.bias && !t.accumulate ? load(t.bias, j) : zero;
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) acc[i][j] = start;
  }
  for (int i = 0; i < MR; ++i)  // C is written at the end, and has come from afar by then
    for (int j = 0; j < NV * N; j += 64 / sizeof(T)) __builtin_prefetch(c + i * t.ldc + j, 1);
  multiply_tile<T, MR, NV, layout>(a, t.lda, t.k, t.b, t.ldb, t.b_skip, t.b_padded ? N : tail, acc);
  if (t.descent) {
    const Vec<T> rate(*t.descent);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] = load(c + i * t.ldc, j) - rate * acc[i][j];
  } else if (t.accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] += load(c + i * t.ldc, j);
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j)
      if (j == NV - 1 && tail != N)
        acc[i][j].store(c + i * t.ldc + j * N, tail);
      else
        acc[i][j].store(c + i * t.ldc + j * N);
}

template <class T, int MR, int NV, ALayout layout>
void sized_tile(const Tile<T>& t) {
  for (int64_t i = 0; i < t.count; ++i) one_tile<T, MR, NV, layout>(t, t.a + i * t.a_step, t.c + i * t.c_step);
}

template <class T>
struct Table {
  using Fn = void (*)(const Tile<T>&);
  Fn fn[2][kMaxVecs][kMaxRows];

  template <ALayout layout, int NV, int MR>
  constexpr void fill() {
    fn[static_cast<int>(layout)][NV - 1][MR - 1] = &sized_tile<T, MR, NV, layout>;
    if constexpr (MR > 1) fill<layout, NV, MR - 1>();
  }
  constexpr Table() : fn() {
    static_assert(kMaxVecs == 2);
    fill<ALayout::rows, 1, kMaxRows>();
    fill<ALayout::rows, 2, kMaxRows>();
    fill<ALayout::columns, 1, kMaxRows>();
    fill<ALayout::columns, 2, kMaxRows>();
  }
};

template <class T>
constexpr Table<T> table;

}  // namespace

template <class T>
void run_tile(const Tile<T>& t) {
  const int vecs = (t.cols + Vec<T>::N - 1) / Vec<T>::N;
  table<T>.fn[static_cast<int>(t.layout)][vecs - 1][t.rows - 1](t);
}

template void run_tile<float>(const Tile<float>&);
template void run_tile<double>(const Tile<double>&);

}  // namespace fnn::FNN_ISA
