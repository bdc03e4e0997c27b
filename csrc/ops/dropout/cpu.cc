#include "ops/dropout/args.h"

#include "tile/philox.h"

namespace fnn::FNN_ISA {

template <class T>
void dropout(Stream& s, const DropoutArgs<T>& a) {
  const uint32_t threshold = a.threshold();
  const Vec<T> factor(a.scale()), zero(0);
  for_each_word(s, a.n, a.key.value, [&](int64_t begin, int64_t end, const uint32_t* words) {
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
