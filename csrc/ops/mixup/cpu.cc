#include "ops/mixup/args.h"

#include "ops/mixup/tile.h"
#include "tile/philox.h"

namespace fnn::FNN_ISA {

// f(i, partner, share) for every example; `m` numbers are made of each.
template <class T, class F>
FNN_INLINE void for_each_pair(Stream& s, const Mixing& z, int64_t m, const F& f) {
  uint32_t batch[4 * kPhiloxBlocks];
  philox(z.key.value, 0, batch);
  const int64_t shift = draw_shift(z.n, batch[0]);
  const T common = z.per_example ? T(0) : T(draw_share(z.alpha, batch[1], batch[2]));
  parallel_for(s, z.n, 1 + 16384 / (m + 1), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T share = common;
      if (z.per_example) {
        uint32_t own[4 * kPhiloxBlocks];
        philox(z.key.value, static_cast<uint64_t>(1 + i), own);
        share = T(draw_share(z.alpha, own[1], own[2]));
      }
      f(i, i + shift < z.n ? i + shift : i + shift - z.n, share);
    }
  });
}

template <class T>
void mix_rows(Stream& s, const MixRowsArgs<T>& a) {
  for_each_pair<T>(s, a.mixing, a.m, [&](int64_t i, int64_t partner, T share) {
    const T *one = a.x + i * a.m, *two = a.x + partner * a.m;
    T* y = a.y + i * a.m;
    const Vec<T> first(share), second(T(1) - share);
    for_vec<T>(0, a.m, [&](auto at) { at.store(y, first * at.load(one) + second * at.load(two)); });
  });
}

template <class T>
void mix_labels(Stream& s, const MixLabelsArgs<T>& a) {
  for_each_pair<T>(s, a.mixing, a.classes, [&](int64_t i, int64_t partner, T share) {
    for (int64_t c = 0; c < a.classes; ++c)
      a.y[i * a.classes + c] = mixed_label(a.target[i], a.target[partner], c, share);
  });
}

#include "isa/instantiate.h"
#include "ops/mixup/kernels.inc"

}  // namespace fnn::FNN_ISA
