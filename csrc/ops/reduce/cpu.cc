#include "ops/reduce/args.h"

#include "tile/reduce.h"

namespace fnn::FNN_ISA {

template <class T>
FNN_INLINE void sum_block(const T* x, int64_t rows, int64_t inner, T* y) {
  if constexpr (T(0.5) == T(0)) {  // integers
    for (int64_t i = 0; i < inner; ++i) {
      uint64_t total = 0;
      for (int64_t r = 0; r < rows; ++r) total += static_cast<uint64_t>(x[r * inner + i]);
      y[i] = static_cast<T>(total);
    }
  } else if (inner == 1) {
    *y = row_sum(x, rows);
  } else {
    column_sums(x, rows, inner, y, inner);
  }
}

template <class T>
void reduce_sum(Stream& s, const ReduceSumArgs<T>& a) {
  constexpr int64_t kChunk = 16384;  // elements
  int64_t rows = a.inner > 0 ? kChunk / a.inner : 1;
  if (rows < 64) rows = 64;
  const int64_t chunks = a.reduced > rows ? (a.reduced + rows - 1) / rows : 1;
  T* partial = chunks == 1 ? a.y : static_cast<T*>(s.workspace(a.outer * chunks * a.inner * sizeof(T)));
  const int64_t block = (a.reduced < rows ? a.reduced : rows) * a.inner;
  parallel_for(s, a.outer * chunks, block < kChunk ? kChunk / (block + 1) + 1 : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / chunks, r = i % chunks * rows, left = a.reduced - r;
      sum_block(a.x + (o * a.reduced + r) * a.inner, left < rows ? left : rows, a.inner, partial + i * a.inner);
    }
  });
  if (chunks > 1)
    for (int64_t o = 0; o < a.outer; ++o) sum_block(partial + o * chunks * a.inner, chunks, a.inner, a.y + o * a.inner);
  if (a.scale != T(1))
    for (int64_t i = 0; i < a.outer * a.inner; ++i) a.y[i] *= a.scale;
}

template <class T>
void reduce_max(Stream& s, const ReduceMaxArgs<T>& a) {
  const int64_t size = a.reduced * a.inner;
  parallel_for(s, a.outer, 16384 / (size + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const T* x = a.x + o * size;
      T* y = a.y + o * a.inner;
      int64_t* index = a.index + o * a.inner;
      for (int64_t i = 0; i < a.inner; ++i) {
        y[i] = x[i];
        index[i] = 0;
      }
      for (int64_t r = 1; r < a.reduced; ++r)
        for (int64_t i = 0; i < a.inner; ++i) {
          const T v = x[r * a.inner + i];
          const bool better = (a.minimum ? v < y[i] : v > y[i]) || (v != v && y[i] == y[i]);
          y[i] = better ? v : y[i];
          index[i] = better ? r : index[i];
        }
    }
  });
}

template <class T>
void reduce_max_bwd(Stream& s, const ReduceMaxBwdArgs<T>& a) {
  const int64_t size = a.reduced * a.inner;
  parallel_for(s, a.outer, 16384 / (size + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * size; i < end * size; ++i) a.dx[i] = T(0);
    for (int64_t o = begin; o < end; ++o)
      for (int64_t i = 0; i < a.inner; ++i)
        a.dx[o * size + a.index[o * a.inner + i] * a.inner + i] = a.dy[o * a.inner + i];
  });
}

#include "isa/instantiate.h"
#include "ops/reduce/kernels.inc"

}  // namespace fnn::FNN_ISA
