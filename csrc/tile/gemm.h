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
  const T* bias = nullptr;  // (n) or null
  bool accumulate = false;  // C += A B; no bias then
  // Threads take columns, as far as there are enough: then the columns of B that one has
  // in its cache are the same from call to call. For B the weight, or C its gradient.
  bool by_columns = false;
  const Descent<T>* descent = nullptr;  // or null; k is at most kOnePass then
  bool bf16 = false;                    // A and B may be rounded to bfloat16; where kHasBf16 alone
};

// The largest k that is summed in one pass.
template <class T>
constexpr int64_t kOnePass = 3072 / static_cast<int64_t>(sizeof(T));

// A piece of C, complete and still in the cache: C[row + i, col + j] = c[i * ldc + j].
template <class T>
struct Piece {
  T* c;
  int64_t ldc, row, col;
  int rows, cols;
};

// finish(piece) is called for each piece of C: the place for an activation. Where g.c is
// null C is not kept, and the piece all there is of it; k is at most kOnePass then.
template <class T, class Finish>
void gemm(Stream& s, const Gemm<T>& g, const Finish& finish);

// The same for g.bf16, in bf16.h.
template <class T>
constexpr bool kHasBf16 = kVecBytes == 64 && sizeof(T) == 4;
template <class Finish>
void gemm_bf16(Stream& s, const Gemm<float>& g, const Finish& finish);

}  // namespace fnn::FNN_ISA

// clang-format off: the second uses the first
#include "tile/gemm_impl.h"
#include "tile/bf16.h"
