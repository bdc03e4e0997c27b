#include "ops/erase/args.h"

#include "ops/erase/tile.h"
#include "tile/philox.cuh"

namespace fnn::cuda {
namespace {

constexpr int kThreads = 256;

// A block for each image, whose first thread draws the rectangle.
template <class T>
__global__ void __launch_bounds__(kThreads) erase_kernel(EraseArgs<T> a) {
  Rectangle& cut = *shared_memory<Rectangle>();
  const PhiloxKey key = a.key.get();
  const int64_t size = a.c * a.h * a.w, step = a.channels_last ? a.c : 1;
  for (int64_t image = blockIdx.x; image < a.n; image += gridDim.x) {
    if (threadIdx.x == 0)
      cut = draw_rectangle(a, [&](int block) { return philox(key, image * a.image_blocks() + block); });
    __syncthreads();
    for (int64_t i = threadIdx.x; i < size; i += kThreads) {
      const int64_t pixel = i / step;
      const bool erased = cut.holds(pixel / a.w % a.h, pixel % a.w);
      a.y[image * size + i] = erased ? a.value : a.x[image * size + i];
    }
    __syncthreads();
  }
}

}  // namespace

template <class T>
void erase(Stream& s, const EraseArgs<T>& a) {
  start(s, &erase_kernel<T>, blocks_for(a.n, 1), kThreads, sizeof(Rectangle), a);
}

#include "isa/instantiate.h"
#include "ops/erase/kernels.inc"

}  // namespace fnn::cuda
