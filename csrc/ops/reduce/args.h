#pragma once

#include <cstdint>

namespace fnn {

// y[o, i] = scale * sum over r of x[o, r, i], added up in an order that the sizes alone decide.
template <class T>
struct ReduceSumArgs {
  const T* x;  // (outer, reduced, inner)
  T* y;        // (outer, inner)
  int64_t outer, reduced, inner;
  T scale;

  template <class V>
  void visit(V& v) {
    v.in(x, outer * reduced * inner);
    v.out(y, outer * inner);
  }
};

// y[o, i] = max over r of x[o, r, i] (or min), index its first place; NaN wins.
template <class T>
struct ReduceMaxArgs {
  const T* x;      // (outer, reduced, inner), reduced > 0
  T* y;            // (outer, inner)
  int64_t* index;  // (outer, inner)
  int64_t outer, reduced, inner;
  bool minimum;

  template <class V>
  void visit(V& v) {
    v.in(x, outer * reduced * inner);
    v.out(y, outer * inner);
    v.out(index, outer * inner);
  }
};

// dx[o, index[o, i], i] = dy[o, i], 0 elsewhere.
template <class T>
struct ReduceMaxBwdArgs {
  const int64_t* index;  // (outer, inner)
  const T* dy;           // (outer, inner)
  T* dx;                 // (outer, reduced, inner)
  int64_t outer, reduced, inner;

  template <class V>
  void visit(V& v) {
    v.in(index, outer * inner);
    v.in(dy, outer * inner);
    v.out(dx, outer * reduced * inner);
  }
};

}  // namespace fnn
