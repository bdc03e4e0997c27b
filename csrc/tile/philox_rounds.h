// Philox4x32-10 (core/philox.h) for any type of 64-bit lanes, of which the lower 32 bits count:
// their products need the room.
#pragma once

#include "core/inline.h"
#include "core/philox.h"

namespace fnn::FNN_ISA {

// The counters c, one a lane, become the random words; times_low(x, m) is x * m for the lower halves of x.
template <class Lanes, class TimesLow>
FNN_INLINE void philox_rounds(uint64_t seed, Lanes (&c)[4], const TimesLow& times_low) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const Lanes p0 = times_low(c[0], 0xD2511F53), p1 = times_low(c[2], 0xCD9E8D57);
    c[0] = (p1 >> 32) ^ c[1] ^ uint64_t { k0 };
    c[1] = p1;
    c[2] = (p0 >> 32) ^ c[3] ^ uint64_t { k1 };
    c[3] = p0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}

// Uniform in [0, 1), 24 random bits: the same numbers in float32 and float64.
FNN_INLINE float unit(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

}  // namespace fnn::FNN_ISA
