#pragma once

#include <cstdint>

#include "core/changing.h"
#include "core/inline.h"
#include "core/philox.h"

namespace fnn {

// y[i] = x[i] / (1 - p) where the i-th random number is at least p, else 0. The mask is a
// function of (key, i), so backward is the same kernel on dy and nothing is stored.
template <class T>
struct DropoutArgs {
  const T* x;  // (n)
  T* y;        // (n)
  int64_t n;
  Changing<PhiloxKey> key;
  double p;

  FNN_INLINE T scale() const { return p < 1 ? T(1 / (1 - p)) : T(0); }
  // unit(word) >= p, compared as integers: unit is (word >> 8) / 2^24.
  FNN_INLINE uint32_t threshold() const { return static_cast<uint32_t>(p * 0x1p24 + (1 - 0x1p-20)); }

  template <class V>
  void visit(V& v) {
    v.in(x, n);
    v.out(y, n);
  }
  auto& changing() { return key; }
};

}  // namespace fnn
