// A common shape and the strides of several arrays over it, as plain data for a kernel.
#pragma once

#include <cstdint>

#include "core/inline.h"

namespace fnn {

template <int Arrays>
struct StridedShape {
  int ndim;  // at least 1
  int64_t size[8];
  int64_t stride[Arrays][8];  // elements; 0 repeats

  // Elements over the last size.
  FNN_INLINE int64_t rows() const {
    int64_t n = 1;
    for (int i = 0; i < ndim - 1; ++i) n *= size[i];
    return n;
  }
  FNN_INLINE int64_t numel() const { return rows() * size[ndim - 1]; }
};

}  // namespace fnn
