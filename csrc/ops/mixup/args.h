#pragma once

#include <cstdint>

#include "core/changing.h"
#include "core/inline.h"
#include "core/philox.h"

namespace fnn {

// Example i is mixed with example i + shift, counted in a circle, shift in [1, n): share of the first, 1 - share
// of the second, share ~ Beta(alpha, alpha) of the batch or of each example. Functions of the key alone, so
// that examples and targets can be mixed by two kernels.
// Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
struct Mixing {
  int64_t n;
  Changing<PhiloxKey> key;  // block 0 is the batch's, block 1 + i that of example i
  double alpha;
  bool per_example;

  FNN_INLINE int64_t words() const { return 4 * (per_example ? 1 + n : 1); }
};

// y[i] = share x[i] + (1 - share) x[i + shift]
template <class T>
struct MixRowsArgs {
  const T* x;  // (n, m)
  T* y;        // (n, m)
  int64_t m;
  Mixing mixing;

  template <class V>
  void visit(V& v) {
    v.in(x, mixing.n * m);
    v.out(y, mixing.n * m);
  }
  auto& changing() { return mixing.key; }
};

// The same for the rows that have a 1 at target[i] and else 0.
template <class T>
struct MixLabelsArgs {
  const int64_t* target;  // (n), in [0, classes)
  T* y;                   // (n, classes)
  int64_t classes;
  Mixing mixing;

  template <class V>
  void visit(V& v) {
    v.in(target, mixing.n);
    v.out(y, mixing.n * classes);
  }
  auto& changing() { return mixing.key; }
};

}  // namespace fnn
