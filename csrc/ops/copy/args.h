#pragma once

#include "core/dtype.h"
#include "core/strided_shape.h"

namespace fnn {

// y[i] = x[i], with strides of their own; T is any type of the same size.
template <class T>
struct CopyArgs {
  StridedShape<2> shape;  // arrays y, x
  T* y;
  const T* x;
};

// y[i] = To(x[i]) over n contiguous elements; to bool is x != 0.
template <class From>
struct CastArgs {
  const From* x;  // (n)
  void* y;        // (n) of type `to`
  DType to;
  int64_t n;
};

// x[i] = value
template <class T>
struct FillArgs {
  T* x;  // (n)
  T value;
  int64_t n;
};

}  // namespace fnn
