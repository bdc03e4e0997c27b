#include "ops/dropout/args.h"

#include "core/stream.h"
#include "tile/philox.h"

namespace fnn::FNN_ISA {

template <class T>
void dropout(Stream& s, const DropoutArgs<T>& a) {
  const T scale = a.p < 1 ? T(1 / (1 - a.p)) : T(0);
  // unit(word) >= p, compared as integers: unit is (word >> 8) / 2^24.
  const auto threshold = static_cast<uint32_t>(a.p * 0x1p24 + (1 - 0x1p-20));
  parallel_for(s, (a.n + 3) / 4, 2048, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const Words r = philox(a.key, b);
      const int64_t left = a.n - 4 * b < 4 ? a.n - 4 * b : 4;
      for (int64_t j = 0; j < left; ++j) a.y[4 * b + j] = (r.w[j] >> 8) >= threshold ? a.x[4 * b + j] * scale : T(0);
    }
  });
}

#include "isa/instantiate.h"
#include "ops/dropout/kernels.inc"

}  // namespace fnn::FNN_ISA
