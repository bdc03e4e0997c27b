#pragma once

#include <cstdint>

namespace fnn {

// y[i] = x[i], then `rounds` times y[i] = y[i] factor + term: nothing but multiply-adds in
// registers, the arithmetic peak of the machine.
template <class T>
struct FmaLoopArgs {
  const T* x;  // (n)
  T* y;        // (n)
  int64_t n, rounds;
  T factor, term;

  template <class V>
  void visit(V& v) {
    v.in(x, n);
    v.out(y, n);
  }
  double flops() const { return 2.0 * n * rounds; }
};

}  // namespace fnn
