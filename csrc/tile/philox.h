// Philox4x32-10 (core/philox.h): four random words of one counter.
#pragma once

#include <cstdint>

#include "core/stream.h"
#include "simd/vec.h"
#include "tile/philox_rounds.h"

namespace fnn::FNN_ISA {

// The words of kPhiloxBlocks blocks from `first` on: word j of block i at words[4 * i + j].
constexpr int kPhiloxBlocks = Vec<float>::N;

// 64-bit lanes of which the lower 32 bits count: their products need the room.
typedef uint64_t PhiloxLanes __attribute__((vector_size(8 * kPhiloxBlocks)));

// x * m for the lower halves of x; compilers do not see that one multiplication is enough.
FNN_INLINE PhiloxLanes times_low(PhiloxLanes x, uint32_t m) {
#if defined(FNN_AVX512)
  __m512i part[2];
  __builtin_memcpy(part, &x, sizeof x);
  for (auto& p : part) p = _mm512_mul_epu32(p, _mm512_set1_epi64(m));
  __builtin_memcpy(&x, part, sizeof x);
  return x;
#elif defined(FNN_AVX2)
  __m256i part[2];
  __builtin_memcpy(part, &x, sizeof x);
  for (auto& p : part) p = _mm256_mul_epu32(p, _mm256_set1_epi64x(m));
  __builtin_memcpy(&x, part, sizeof x);
  return x;
#else
  return (x & uint64_t{0xFFFFFFFF}) * uint64_t{m};
#endif
}

FNN_INLINE void philox(PhiloxKey key, uint64_t first, uint32_t (&words)[4 * kPhiloxBlocks]) {
  PhiloxLanes c0;
  for (int i = 0; i < kPhiloxBlocks; ++i) c0[i] = static_cast<uint64_t>(i);
  c0 += key.offset + first;
  PhiloxLanes c[4] = {c0, c0 >> 32};
  philox_rounds(key.seed, c, [](PhiloxLanes x, uint32_t m) { return times_low(x, m); });
  const PhiloxLanes low = PhiloxLanes{} + 0xFFFFFFFF, pair0 = (c[0] & low) | c[1] << 32,
                    pair1 = (c[2] & low) | c[3] << 32;
  for (int i = 0; i < kPhiloxBlocks; ++i) {
    const uint64_t block[2] = {pair0[i], pair1[i]};
    __builtin_memcpy(words + 4 * i, block, sizeof block);
  }
}

// f(begin, end, words) for runs of [0, n) that take at most the words of one philox(): the
// random word of element i is words[i - begin], wherever the runs of a thread begin.
template <class F>
void for_each_word(Stream& s, int64_t n, PhiloxKey key, const F& f) {
  constexpr int64_t kRun = 4 * kPhiloxBlocks;
  parallel_for(s, (n + kRun - 1) / kRun, 2048 / kRun, [&](int64_t first, int64_t last) {
    uint32_t words[kRun];
    for (int64_t run = first; run < last; ++run) {
      philox(key, static_cast<uint64_t>(run) * kPhiloxBlocks, words);
      const int64_t begin = run * kRun;
      f(begin, n - begin < kRun ? n : begin + kRun, words);
    }
  });
}

}  // namespace fnn::FNN_ISA
