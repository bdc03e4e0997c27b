#include "ops/mixup/args.h"

#include "ops/mixup/tile.h"
#include "tile/philox.cuh"

namespace fnn::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
struct Pair {
  int64_t partner;
  T share;
};

template <class T>
__device__ Pair<T> draw_pair(const Mixing& z, PhiloxKey key, int64_t i) {
  const auto batch = philox(key, 0), own = z.per_example ? philox(key, 1 + i) : batch;
  const int64_t partner = i + draw_shift(z.n, batch.v[0]);
  return {partner < z.n ? partner : partner - z.n, T(draw_share(z.alpha, own.v[1], own.v[2]))};
}

// f(i, j, pair) for every j in [0, m) of every example i: a block for each, whose first thread draws the pair.
template <class T, class F>
__global__ void __launch_bounds__(kThreads) for_each_pair_kernel(Mixing z, int64_t m, F f) {
  Pair<T>& pair = *shared_memory<Pair<T>>();
  const PhiloxKey key = z.key.get();
  for (int64_t i = blockIdx.x; i < z.n; i += gridDim.x) {
    if (threadIdx.x == 0) pair = draw_pair<T>(z, key, i);
    __syncthreads();
    for (int64_t j = threadIdx.x; j < m; j += kThreads) f(i, j, pair);
    __syncthreads();
  }
}

template <class T, class F>
void for_each_pair(Stream& s, const Mixing& z, int64_t m, const F& f) {
  start(s, &for_each_pair_kernel<T, F>, blocks_for(z.n, 1), kThreads, sizeof(Pair<T>), z, m, f);
}

}  // namespace

template <class T>
void mix_rows(Stream& s, const MixRowsArgs<T>& args) {
  for_each_pair<T>(s, args.mixing, args.m, [a = args] __device__(int64_t i, int64_t j, const Pair<T>& p) {
    a.y[i * a.m + j] = p.share * a.x[i * a.m + j] + (T(1) - p.share) * a.x[p.partner * a.m + j];
  });
}

template <class T>
void mix_labels(Stream& s, const MixLabelsArgs<T>& args) {
  for_each_pair<T>(s, args.mixing, args.classes, [a = args] __device__(int64_t i, int64_t c, const Pair<T>& p) {
    a.y[i * a.classes + c] = mixed_label(a.target[i], a.target[p.partner], c, p.share);
  });
}

#include "isa/instantiate.h"
#include "ops/mixup/kernels.inc"

}  // namespace fnn::cuda
