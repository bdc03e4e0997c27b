#pragma once

#include <cstdint>

#include "core/philox.h"

namespace fnn {

// x[i] uniform in [low, high), from the i-th word of the generator.
template <class T>
struct UniformArgs {
  T* x;  // (n)
  int64_t n;
  PhiloxKey key;
  T low, high;
};

// x[i] normal, two a pair of words by Box and Muller's method.
template <class T>
struct NormalArgs {
  T* x;  // (n)
  int64_t n;
  PhiloxKey key;
  T mean, std;
};

}  // namespace fnn
