// Philox4x32-10 (core/philox.h): four random words of one counter.
#pragma once

#include <cstdint>

#include "core/philox.h"
#include "core/stream.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

// The words of kPhiloxBlocks blocks from `first` on: word j of block i at words[4 * i + j].
constexpr int kPhiloxBlocks = Vec<float>::N;

FNN_INLINE void philox(PhiloxKey key, uint64_t first, uint32_t (&words)[4 * kPhiloxBlocks]) {
  // 64-bit lanes that hold 32 bits each: the products need the room.
  typedef uint64_t Lanes __attribute__((vector_size(8 * kPhiloxBlocks)));
  const Lanes low = Lanes{} + 0xFFFFFFFF;
  Lanes counter;
  for (int i = 0; i < kPhiloxBlocks; ++i) counter[i] = key.offset + first + static_cast<uint64_t>(i);
  Lanes c0 = counter & low, c1 = counter >> 32, c2 = {}, c3 = {};
  uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const Lanes p0 = c0 * uint64_t{0xD2511F53}, p1 = c2 * uint64_t{0xCD9E8D57};
    c0 = (p1 >> 32) ^ c1 ^ uint64_t{k0};
    c1 = p1 & low;
    c2 = (p0 >> 32) ^ c3 ^ uint64_t{k1};
    c3 = p0 & low;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  for (int i = 0; i < kPhiloxBlocks; ++i) {
    words[4 * i] = static_cast<uint32_t>(c0[i]);
    words[4 * i + 1] = static_cast<uint32_t>(c1[i]);
    words[4 * i + 2] = static_cast<uint32_t>(c2[i]);
    words[4 * i + 3] = static_cast<uint32_t>(c3[i]);
  }
}

// f(begin, end, words) for runs of [0, n) that take at most the words of one philox(): the
// random word of element i is words[i - begin], wherever the runs of a thread begin.
template <class F>
void for_each_word(Stream& s, int64_t n, PhiloxKey key, const F& f) {
  constexpr int64_t kRun = 4 * kPhiloxBlocks;
  parallel_for(s, (n + kRun - 1) / kRun, 8192 / kRun, [&](int64_t first, int64_t last) {
    uint32_t words[kRun];
    for (int64_t run = first; run < last; ++run) {
      philox(key, static_cast<uint64_t>(run) * kPhiloxBlocks, words);
      const int64_t begin = run * kRun;
      f(begin, n - begin < kRun ? n : begin + kRun, words);
    }
  });
}

// Uniform in [0, 1), 24 random bits: the same numbers in float32 and float64.
FNN_INLINE float unit(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

}  // namespace fnn::FNN_ISA
