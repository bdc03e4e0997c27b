#include "ops/random/args.h"

#include "tile/philox.h"

namespace fnn::FNN_ISA {

template <class T>
void random_uniform(Stream& s, const UniformArgs<T>& a) {
  for_each_word(s, a.n, a.key, [&](int64_t begin, int64_t end, const uint32_t* words) {
    for (int64_t i = begin; i < end; ++i) {
      const T x = a.low + (a.high - a.low) * T(unit(words[i - begin]));
      a.x[i] = x < a.high ? x : a.low;  // rounding may reach high
    }
  });
}

template <class T>
void random_normal(Stream& s, const NormalArgs<T>& a) {
  for_each_word(s, a.n, a.key, [&](int64_t begin, int64_t end, const uint32_t* words) {
    for (int64_t i = begin; i < end; i += 2) {
      const uint32_t* w = words + (i - begin);
      const double radius = __builtin_sqrt(-2 * __builtin_log(1.0 - double(unit(w[0]))));
      const double angle = 6.283185307179586 * double(unit(w[1]));
      a.x[i] = a.mean + a.std * T(radius * __builtin_cos(angle));
      if (i + 1 < end) a.x[i + 1] = a.mean + a.std * T(radius * __builtin_sin(angle));
    }
  });
}

#include "isa/instantiate.h"
#include "ops/random/kernels.inc"

}  // namespace fnn::FNN_ISA
