#pragma once

#include <cstdint>

#include "core/philox.h"

namespace fnn {

// y[i] = x[i] / (1 - p) where the i-th random number is at least p, else 0. The mask is a
// function of (key, i), so backward is the same kernel on dy and nothing is stored.
template <class T>
struct DropoutArgs {
  const T* x;  // (n)
  T* y;        // (n)
  int64_t n;
  PhiloxKey key;
  double p;

  template <class V>
  void visit(V& v) {
    v.in(x, n);
    v.out(y, n);
  }
};

}  // namespace fnn
