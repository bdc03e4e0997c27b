// Which values are within bounds.
#pragma once

#include "core/inline.h"
#include "ops/bounds/args.h"

namespace fnn::FNN_ISA {

template <class T>
FNN_INLINE bool within(const FindOutsideArgs<T>& a, T x) {
  const bool same = x == a.ignored || (x != x && a.ignored != a.ignored);
  return (x >= a.lowest && x <= a.highest) || (a.ignoring && same);
}

}  // namespace fnn::FNN_ISA
