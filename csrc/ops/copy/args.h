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

  template <class V>
  void visit(V& v) {
    v.out(y, shape.numel());
    v.in(x, shape.numel());
  }
};

// y[i] = To(x[i]) over n contiguous elements; to bool is x != 0.
template <class From>
struct CastArgs {
  const From* x;  // (n)
  void* y;        // (n) of type `to`
  DType to;
  int64_t n;

  template <class V>
  void visit(V& v) {
    v.in(x, n);
    v.out_bytes(y, n * static_cast<int64_t>(itemsize(to)));
  }
};

// x[i] = value
template <class T>
struct FillArgs {
  T* x;  // (n)
  T value;
  int64_t n;

  template <class V>
  void visit(V& v) {
    v.out(x, n);
  }
};

}  // namespace fnn
