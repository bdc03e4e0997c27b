#include "ops/random/args.h"

#include "core/stream.h"
#include "tile/philox.h"

namespace fnn::FNN_ISA {

// f(first element, four words, how many are left) for every block of four.
template <class F>
void for_each_block(Stream& s, int64_t n, PhiloxKey key, const F& f) {
  parallel_for(s, (n + 3) / 4, 2048, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) f(4 * b, philox(key, b), n - 4 * b < 4 ? n - 4 * b : 4);
  });
}

template <class T>
void random_uniform(Stream& s, const UniformArgs<T>& a) {
  for_each_block(s, a.n, a.key, [&](int64_t i, Words r, int64_t count) {
    for (int64_t j = 0; j < count; ++j) {
      const T x = a.low + (a.high - a.low) * T(unit(r.w[j]));
      a.x[i + j] = x < a.high ? x : a.low;  // rounding may reach high
    }
  });
}

template <class T>
void random_normal(Stream& s, const NormalArgs<T>& a) {
  for_each_block(s, a.n, a.key, [&](int64_t i, Words r, int64_t count) {
    for (int64_t j = 0; j < count; j += 2) {
      const double radius = __builtin_sqrt(-2 * __builtin_log(1.0 - double(unit(r.w[j]))));
      const double angle = 6.283185307179586 * double(unit(r.w[j + 1]));
      a.x[i + j] = a.mean + a.std * T(radius * __builtin_cos(angle));
      if (j + 1 < count) a.x[i + j + 1] = a.mean + a.std * T(radius * __builtin_sin(angle));
    }
  });
}

#include "isa/instantiate.h"
#include "ops/random/kernels.inc"

}  // namespace fnn::FNN_ISA
