// C = act(A B + bias) for matrices in either order of memory.
#pragma once

#include "core/stream.h"
#include "tile/tile.h"

namespace fnn::FNN_ISA {

template <class T>
struct Gemm {
  int64_t m, n, k;
  const T* a;  // (m, k) or, with ALayout::columns, (k, m)
  int64_t lda;
  ALayout a_layout;
  const T* b;  // (k, n) or, transposed, (n, k)
  int64_t ldb;
  bool b_transposed;
  T* c;  // (m, n)
  int64_t ldc;
  const T* bias;    // (n) or null
  bool accumulate;  // C += A B; no bias then
};

// finish(c, rows, cols) is called for each piece of C, once it is complete and still in
// the cache: the place for an activation.
template <class T, class Finish>
void gemm(Stream& s, const Gemm<T>& g, const Finish& finish);

}  // namespace fnn::FNN_ISA

#include "tile/gemm_impl.h"
