// Philox4x32-10 (core/philox.h) in a thread of a GPU: the numbers of tile/philox.h, a block of four at once.
#pragma once

#include "core/changing.h"
#include "cuda/kernel.cuh"
#include "tile/philox_rounds.h"

namespace fnn::cuda {

// Words [4 block, 4 block + 4) of those that the key stands for.
__device__ inline Pack<uint32_t, 4> philox(PhiloxKey key, int64_t block) {
  const uint64_t counter = key.offset + static_cast<uint64_t>(block);
  uint64_t c[4] = {counter, counter >> 32, 0, 0};
  philox_rounds(key.seed, c, [](uint64_t x, uint32_t m) { return uint64_t{static_cast<uint32_t>(x)} * m; });
  Pack<uint32_t, 4> words;
  for (int i = 0; i < 4; ++i) words.v[i] = static_cast<uint32_t>(c[i]);
  return words;
}

// f(at, words) over [0, n), a Philox block a thread: the random word of element at.i + j is
// words.v[j], as on the CPU. f is [=] __device__ (PackAt<4> at, Pack<uint32_t, 4> words) {...}
template <class F>
__global__ void __launch_bounds__(kLoopThreads) for_words_kernel(int64_t n, Changing<PhiloxKey> changing, F f) {
  const PhiloxKey key = changing.get();
  for (int64_t block = first_task(); 4 * block < n; block += task_stride()) {
    const int64_t i = 4 * block, left = n - i;
    f(PackAt<4>{i, static_cast<int>(left < 4 ? left : 4)}, philox(key, block));
  }
}

template <class F>
void for_each_word(Stream& s, int64_t n, const Changing<PhiloxKey>& key, const F& f) {
  start(s, &for_words_kernel<F>, blocks_for(div_up(n, 4), kLoopThreads), kLoopThreads, 0, n, key, f);
}

}  // namespace fnn::cuda
