#pragma once

#include "core/strided_shape.h"

namespace fnn {

enum class BinaryOp { add, sub, mul, div, pow, maximum, minimum };

// y[i] = a[i] op b[i], broadcast through strides of 0.
template <class T>
struct BinaryArgs {
  StridedShape<3> shape;  // arrays y, a, b
  T* y;
  const T* a;
  const T* b;
  BinaryOp op;

  template <class V>
  void visit(V& v) {
    v.out(y, shape.numel());
    v.in(a, shape.numel());
    v.in(b, shape.numel());
  }
};

enum class CompareOp { eq, ne, lt, le, gt, ge };

// y[i] = a[i] op b[i]; any comparison with NaN but ne is false.
template <class T>
struct CompareArgs {
  StridedShape<3> shape;  // arrays y, a, b
  bool* y;
  const T* a;
  const T* b;
  CompareOp op;

  template <class V>
  void visit(V& v) {
    v.out(y, shape.numel());
    v.in(a, shape.numel());
    v.in(b, shape.numel());
  }
};

}  // namespace fnn
