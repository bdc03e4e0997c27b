// Philox4x32-10 (core/philox.h): four random words of one counter.
#pragma once

#include <cstdint>

#include "core/philox.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

struct Words {
  uint32_t w[4];
};

FNN_INLINE Words philox(PhiloxKey key, uint64_t block) {
  const uint64_t counter = key.offset + block;
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32), c2 = 0, c3 = 0;
  uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1), 24 random bits: the same numbers in float32 and float64.
FNN_INLINE float unit(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

}  // namespace fnn::FNN_ISA
