#pragma once

#include <cstdint>

#include "core/inline.h"

namespace fnn {

FNN_INLINE int64_t from_start(int64_t index, int64_t rows) { return index < 0 ? index + rows : index; }

// y[j] = x[index[j]] for rows of `width` bytes; an index below 0 counts from the end.
template <class T>
struct GatherRowsArgs {
  const T* x;            // (rows, width)
  const int64_t* index;  // (count), each in [-rows, rows)
  T* y;                  // (count, width)
  int64_t rows, count, width;

  template <class V>
  void visit(V& v) {
    v.in(x, count * width);
    v.in(index, count);
    v.out(y, count * width);
  }
};

// dx[r] = sum over j with index[j] == r of dy[j], added in the order of j.
template <class T>
struct ScatterRowsArgs {
  const int64_t* index;  // (count), each in [-rows, rows)
  const T* dy;           // (count, width)
  T* dx;                 // (rows, width)
  int64_t rows, count, width;

  template <class V>
  void visit(V& v) {
    v.in(index, count);
    v.in(dy, count * width);
    v.out(dx, rows * width);
  }
};

}  // namespace fnn
