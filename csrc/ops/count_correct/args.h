#pragma once

#include <cstdint>

namespace fnn {

// *correct = the rows whose largest value, the first of them, stands at a target that is not ignored.
template <class T>
struct CountCorrectArgs {
  int64_t n, classes, ignore_index;
  const T* x;             // (n, classes)
  const int64_t* target;  // (n)
  int64_t* correct;       // (1), nobody else's

  template <class V>
  void visit(V& v) {
    v.in(x, n * classes);
    v.in(target, n);
  }
};

}  // namespace fnn
