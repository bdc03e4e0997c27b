// The register tile that matrix products and convolutions share:
//
//   acc[i][j] += A[i, k] * B[k, j]    for i < MR, j < NV vectors, all k
//
// A's k axis comes in segments of equal length at given offsets, so that a row of A can
// be the window of a convolution: plain products have one segment. B's rows follow each
// other without a break over all segments.
#pragma once

#include "simd/vec.h"

namespace fnn::FNN_ISA {

// How A lies in memory: rows (A[i, k] = a[i * lda + k]) or columns (a[k * lda + i]).
enum class ALayout { rows, columns };

struct Segments {
  const int64_t* offset;  // (count) elements from a
  int64_t count, length;
};

// Sums, 2 rows of B and 1 element of A: 31 of AVX-512's 32 registers, 15 of 16 elsewhere. A tile of
// one vector has more rows, or each sum would wait for the one before it.
constexpr int kMaxRows = kVecBytes == 64 ? 14 : 6, kMaxVecs = 2, kMaxThinRows = kVecBytes == 64 ? 14 : 12;

template <class T>
constexpr int kTileCols = kMaxVecs * Vec<T>::N;

// `tail` elements of B's last vector exist (Vec::N when all do).
template <class T, int MR, int NV, ALayout layout>
FNN_INLINE void multiply_tile(const T* a, int64_t lda, const Segments& k, const T* b, int64_t ldb, int64_t b_skip,
                              int tail, Vec<T> (&acc)[MR][NV]) {
  constexpr int N = Vec<T>::N;
  for (int64_t s = 0; s < k.count; ++s) {
    const T* p = a + k.offset[s];
    // Row addresses are p + (0, 1, 2) * lda from every third row: five pointers serve 14 rows.
    const T* row[(MR + 2) / 3];
    if constexpr (layout == ALayout::rows) {
#pragma GCC unroll 8
      for (int i = 0; i < (MR + 2) / 3; ++i) {
        row[i] = p + 3 * i * lda;
        asm("" : "+r"(row[i]));  // or the compiler makes a pointer of each row, and spills
      }
    }
    const auto step = [&](int64_t kk, auto masked) {
      Vec<T> bv[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j)
        bv[j] = masked && j == NV - 1 ? Vec<T>::load(b + j * N, tail) : Vec<T>::load(b + j * N);
      b += ldb;
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const T* e = layout == ALayout::rows ? row[i / 3] + (i % 3) * lda + kk : p + kk * lda + i;
        const Vec<T> av(*e);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
      }
    };
    struct Yes {
      constexpr operator bool() const { return true; }
    };
    struct No {
      constexpr operator bool() const { return false; }
    };
    if (tail == N) {
#pragma GCC unroll 2
      for (int64_t kk = 0; kk < k.length; ++kk) step(kk, No{});
    } else {
#pragma GCC unroll 2
      for (int64_t kk = 0; kk < k.length; ++kk) step(kk, Yes{});
    }
    b += b_skip;
  }
}

}  // namespace fnn::FNN_ISA
