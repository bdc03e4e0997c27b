// Every size of the register tile, compiled once per instruction set and reached
// through a table.
#include "tile/sized.h"

namespace fnn::FNN_ISA {
namespace {

template <class T, int MR, int NV, ALayout layout>
void sized_tile(const Tile<T>& t) {
  for (int64_t i = 0; i < t.count; ++i)
    compute_tile<T, MR, NV>(t, t.c + i * t.c_step, [&](Vec<T>(&acc)[MR][NV], int tail) {
      multiply_tile<T, MR, NV, layout>(t.a + i * t.a_step, t.lda, t.k, t.b, t.ldb, t.b_skip,
                                       t.b_padded ? Vec<T>::N : tail, acc);
    });
}

template <class T>
struct Table {
  using Fn = void (*)(const Tile<T>&);
  Fn fn[2][kMaxVecs][kMaxThinRows];

  template <ALayout layout, int NV, int MR>
  constexpr void fill() {
    fn[static_cast<int>(layout)][NV - 1][MR - 1] = &sized_tile<T, MR, NV, layout>;
    if constexpr (MR > 1) fill<layout, NV, MR - 1>();
  }
  constexpr Table() : fn() {
    static_assert(kMaxVecs == 2);
    fill<ALayout::rows, 1, kMaxThinRows>();
    fill<ALayout::rows, 2, kMaxRows>();
    fill<ALayout::columns, 1, kMaxThinRows>();
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
