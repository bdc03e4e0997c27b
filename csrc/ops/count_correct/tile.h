// Where the largest number of a row stands.
#pragma once

#include "core/inline.h"
#include "ops/count_correct/args.h"

namespace fnn::FNN_ISA {

template <class T>
FNN_INLINE bool is_correct(const CountCorrectArgs<T>& a, int64_t row) {
  const T* x = a.x + row * a.classes;
  int64_t best = 0;
  for (int64_t c = 1; c < a.classes; ++c)
    if (x[c] > x[best]) best = c;
  return best == a.target[row] && best != a.ignore_index;
}

}  // namespace fnn::FNN_ISA
