#pragma once

#include "ops/mixup/args.h"
#include "simd/math.h"
#include "tile/philox_rounds.h"
#include "tile/portable.h"

namespace fnn::FNN_ISA {

// Beta(alpha, alpha) from two uniform numbers: (1 + t / sqrt(2 alpha + t^2)) / 2 with t of Student's distribution of
// 2 alpha degrees of freedom, made by Bailey's polar method. Devroye, "Random variate generation in one line of code",
// WSC 1996. q = u^(1 / alpha).
FNN_INLINE double draw_share(double alpha, uint32_t word_u, uint32_t word_v) {
  const double u = 1 - static_cast<double>(unit(word_u));  // never 0
  const double q = portable_exp(portable_log(u) / alpha);
  const double c = direction(360 * static_cast<double>(unit(word_v))).cos, t2 = (1 - q) * c * c;
  const double half = t2 > 0 ? 0.5 * sqrt(t2 / (q + t2)) : 0;
  return c < 0 ? 0.5 - half : 0.5 + half;
}

FNN_INLINE int64_t draw_shift(int64_t n, uint32_t word) {
  return n < 2 ? 0 : 1 + static_cast<int64_t>((static_cast<uint64_t>(n - 1) * word) >> 32);
}

template <class T>
FNN_INLINE T mixed_label(int64_t one, int64_t two, int64_t c, T share) {
  return (one == c ? share : T(0)) + (two == c ? T(1) - share : T(0));
}

}  // namespace fnn::FNN_ISA
