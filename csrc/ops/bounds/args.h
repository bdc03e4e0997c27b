#pragma once

#include <cstdint>

namespace fnn {

// *first = the least i for which x[i] is not in [lowest, highest], n where there is none. A NaN
// is in no range. `ignored` passes too, which may be NaN.
template <class T>
struct FindOutsideArgs {
  const T* x;  // (n)
  int64_t n;
  T lowest, highest;
  bool ignoring;
  T ignored;
  int64_t* first = nullptr;  // (1)

  template <class V>
  void visit(V& v) {
    v.in(x, n);
    v.out(first, 1);
  }
};

}  // namespace fnn
