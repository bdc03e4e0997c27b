#include "ops/random/args.h"

#include "simd/math.h"
#include "tile/philox.h"

namespace fnn::FNN_ISA {

template <class T>
void random_uniform(Stream& s, const UniformArgs<T>& a) {
  for_each_word(s, a.n, a.key.value, [&](int64_t begin, int64_t end, const uint32_t* words) {
    for (int64_t i = begin; i < end; ++i) {
      const T x = a.low + (a.high - a.low) * T(unit(words[i - begin]));
      a.x[i] = x < a.high ? x : a.low;  // rounding may reach high
    }
  });
}

template <class T>
void random_normal(Stream& s, const NormalArgs<T>& a) {
  constexpr int kPairs = 2 * kPhiloxBlocks, N = Vec<T>::N;
  const Vec<T> mean(a.mean), std(a.std);
  for_each_word(s, a.n, a.key.value, [&](int64_t begin, int64_t end, const uint32_t* words) {
    T radius[kPairs], quarter[kPairs], out[2 * kPairs];
    for (int i = 0; i < kPairs; ++i) {
      radius[i] = T(1) - T(unit(words[2 * i]));
      quarter[i] = T(4) * T(unit(words[2 * i + 1]));  // of a turn, exact
    }
    for (int i = 0; i < kPairs; i += N) {
      const Vec<T> r = sqrt(Vec<T>(-2) * log(Vec<T>::load(radius + i)));
      const Quarters<T> angle = whole_quarters(Vec<T>::load(quarter + i));
      (mean + std * (r * sine_of_quarters<T>(angle.r, angle.n + 1))).store(radius + i);
      (mean + std * (r * sine_of_quarters<T>(angle.r, angle.n))).store(quarter + i);
    }
    for (int i = 0; i < kPairs; ++i) {
      out[2 * i] = radius[i];
      out[2 * i + 1] = quarter[i];
    }
    __builtin_memcpy(a.x + begin, out, static_cast<size_t>(end - begin) * sizeof(T));
  });
}

#include "isa/instantiate.h"
#include "ops/random/kernels.inc"

}  // namespace fnn::FNN_ISA
