#pragma once

#include <cstdint>

#include "core/changing.h"
#include "core/philox.h"

namespace fnn {

// x[i] uniform in [low, high), from the i-th word of the generator.
template <class T>
struct UniformArgs {
  T* x;  // (n)
  int64_t n;
  Changing<PhiloxKey> key;
  T low, high;

  template <class V>
  void visit(V& v) {
    v.out(x, n);
  }
  auto& changing() { return key; }
};

// x[i] normal, two a pair of words by Box and Muller's method.
template <class T>
struct NormalArgs {
  T* x;  // (n)
  int64_t n;
  Changing<PhiloxKey> key;
  T mean, std;

  template <class V>
  void visit(V& v) {
    v.out(x, n);
  }
  auto& changing() { return key; }
};

}  // namespace fnn
