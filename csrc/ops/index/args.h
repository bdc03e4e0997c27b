#pragma once

#include <cstdint>

namespace fnn {

// y[j] = x[index[j]] for rows of `width` bytes.
template <class T>
struct GatherRowsArgs {
  const T* x;            // (rows, width)
  const int64_t* index;  // (count), each in [0, rows)
  T* y;                  // (count, width)
  int64_t count, width;
};

// dx[r] = sum over j with index[j] == r of dy[j], added in the order of j.
template <class T>
struct ScatterRowsArgs {
  const int64_t* index;  // (count)
  const T* dy;           // (count, width)
  T* dx;                 // (rows, width)
  int64_t rows, count, width;
};

}  // namespace fnn
