#include "ops/erase/args.h"

#include "ops/erase/tile.h"
#include "tile/philox.h"

namespace fnn::FNN_ISA {

template <class T>
void erase(Stream& s, const EraseArgs<T>& a) {
  const int64_t size = a.c * a.h * a.w;
  if (size == 0) return;
  const int64_t runs = a.channels_last ? 1 : a.c, step = a.channels_last ? a.c : 1;  // rows of a plane, or of pixels
  parallel_for(s, a.n, 1 + 16384 / size, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Rectangle cut = draw_rectangle(a, [&](int block) {
        struct {
          uint32_t v[4 * kPhiloxBlocks];
        } words;
        philox(a.key.value, static_cast<uint64_t>(i * a.image_blocks() + block), words.v);
        return words;
      });
      T* y = a.y + i * size;
      __builtin_memcpy(y, a.x + i * size, static_cast<size_t>(size) * sizeof(T));
      for (int64_t run = 0; run < runs; ++run)
        for (int64_t row = cut.top; row < cut.bottom; ++row) {
          T* to = y + (run * a.h + row) * a.w * step;
          for (int64_t at = cut.left * step; at < cut.right * step; ++at) to[at] = a.value;
        }
    }
  });
}

#include "isa/instantiate.h"
#include "ops/erase/kernels.inc"

}  // namespace fnn::FNN_ISA
