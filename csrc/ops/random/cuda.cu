#include "ops/random/args.h"

#include "simd/math.h"
#include "tile/philox.cuh"

namespace fnn::cuda {

template <class T>
void random_uniform(Stream& s, const UniformArgs<T>& args) {
  for_each_word(s, args.n, args.key, [a = args] __device__(PackAt<4> at, Pack<uint32_t, 4> words) {
    at.store(a.x, each(words, [&](uint32_t word) {
               const T x = a.low + (a.high - a.low) * T(unit(word));
               return x < a.high ? x : a.low;  // rounding may reach high
             }));
  });
}

template <class T>
void random_normal(Stream& s, const NormalArgs<T>& args) {
  for_each_word(s, args.n, args.key, [a = args] __device__(PackAt<4> at, Pack<uint32_t, 4> words) {
    Pack<T, 4> x;
    for (int i = 0; i < 4; i += 2) {
      const T radius = sqrt(T(-2) * log(T(1) - T(unit(words.v[i]))));
      T sine, cosine;
      ::sincospi(T(2) * T(unit(words.v[i + 1])), &sine, &cosine);
      x.v[i] = a.mean + a.std * (radius * cosine);
      x.v[i + 1] = a.mean + a.std * (radius * sine);
    }
    at.store(a.x, x);
  });
}

#include "isa/instantiate.h"
#include "ops/random/kernels.inc"

}  // namespace fnn::cuda
