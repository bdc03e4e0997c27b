#include "ops/dropout/args.h"

#include "simd/math.h"
#include "tile/philox.cuh"

namespace fnn::cuda {

template <class T>
void dropout(Stream& s, const DropoutArgs<T>& args) {
  using Four = Pack<T, 4>;
  for_each_word(s, args.n, args.key,
                [x = args.x, y = args.y, threshold = args.threshold(), scale = args.scale()] __device__(
                    PackAt<4> at, Pack<uint32_t, 4> words) {
                  const auto kept = each(words, [=](uint32_t word) { return word >> 8 >= threshold; });
                  at.store(y, select(kept, at.load(x) * Four(scale), Four(0)));
                });
}

#include "isa/instantiate.h"
#include "ops/dropout/kernels.inc"

}  // namespace fnn::cuda
