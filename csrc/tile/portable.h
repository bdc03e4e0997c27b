// sin, cos, log and exp of one float64 from IEEE 754's own operations, +, -, * and /: the same bits on every
// instruction set and every GPU, to about 1 ulp. For random parameters, of which an image has a few.
#pragma once

#include <cstdint>

#include "core/inline.h"

namespace fnn::FNN_ISA {

FNN_INLINE double nearest_integer(double x) {
  constexpr double kRound = 6755399441055744.;  // 1.5 * 2^52: adding it rounds to an integer
  return (x + kRound) - kRound;
}

FNN_INLINE double round_half_up(double x) {
  const double n = nearest_integer(x + 0.5);
  return n > x + 0.5 ? n - 1 : n;
}

struct Direction {
  double cos, sin;
};

// Multiples of 90 degrees give 0, 1 and -1 exactly. Taylor's series, as nested products.
FNN_INLINE Direction direction(double degrees) {
  const double turns = degrees / 90, whole = nearest_integer(turns);
  const double r = (turns - whole) * 1.57079632679489661923, z = r * r;
  double s = 1, c = 1;
  for (int k = 18; k >= 2; k -= 2) {
    s = 1 - s * z / (k * (k + 1));
    c = 1 - c * z / (k * (k - 1));
  }
  s *= r;
  switch (static_cast<int64_t>(whole) & 3) {
    case 0: return {c, s};
    case 1: return {-s, c};
    case 2: return {-c, -s};
    default: return {s, -c};
  }
}

FNN_INLINE double tangent(double degrees) {
  const Direction d = direction(degrees);
  return d.sin / d.cos;
}

// log x for normal numbers x > 0: k ln 2 + 2 atanh(f / (2 + f)) with x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2).
FNN_INLINE double portable_log(double x) {
  uint64_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const int64_t k = static_cast<int64_t>(bits - 0x3FE6A09E667F3BCD) >> 52;
  bits -= static_cast<uint64_t>(k) << 52;
  double m;
  __builtin_memcpy(&m, &bits, sizeof m);
  const double s = (m - 1) / (m + 1), z = s * s;
  double p = 0;
  for (int i = 21; i >= 1; i -= 2) p = p * z + 1. / i;
  return static_cast<double>(k) * 0.69314718055994530942 + 2 * s * p;
}

// exp x for x in [-700, 700], and 0 below.
FNN_INLINE double portable_exp(double x) {
  if (x < -700) return 0;
  const double n = nearest_integer(x * 1.4426950408889634074);
  const double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;  // ln 2 in two parts
  double p = 1;
  for (int k = 14; k >= 1; --k) p = 1 + p * r / k;
  const uint64_t bits = static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52;
  double power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return p * power;
}

}  // namespace fnn::FNN_ISA
