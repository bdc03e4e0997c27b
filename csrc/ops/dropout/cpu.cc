#include "ops/dropout/args.h"

#include "tile/philox.h"

namespace fnn::FNN_ISA {

template <class T>
void dropout(Stream& s, const DropoutArgs<T>& a) {
  const T scale = a.p < 1 ? T(1 / (1 - a.p)) : T(0);
  // unit(word) >= p, compared as integers: unit is (word >> 8) / 2^24.
  const auto threshold = static_cast<uint32_t>(a.p * 0x1p24 + (1 - 0x1p-20));
  const Vec<T> factor(scale), zero(0);
  for_each_word(s, a.n, a.key, [&](int64_t begin, int64_t end, const uint32_t* words) {
    T kept[4 * kPhiloxBlocks];
    for (int i = 0; i < 4 * kPhiloxBlocks; ++i) kept[i] = static_cast<T>((words[i] >> 8) >= threshold);
    const T* x = a.x + begin;
    T* y = a.y + begin;
    for_vec<T>(0, end - begin, [&](auto at) { at.store(y, select(at.load(kept) > zero, at.load(x) * factor, zero)); });
  });
}

#include "isa/instantiate.h"
#include "ops/dropout/kernels.inc"

}  // namespace fnn::FNN_ISA
