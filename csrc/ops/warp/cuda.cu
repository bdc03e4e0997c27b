#include "ops/warp/args.h"

#include "ops/warp/tile.h"
#include "tile/philox.cuh"

namespace fnn::cuda {
namespace {

// What the small kernels leave in the GPU's memory for the large ones.
template <class T>
struct Prepared {
  AffineMap* map;   // (n)
  T *down, *along;  // weights of the Gaussian
  T* noise;         // (2, n, oh, ow): in x and y
  T* smooth;        // (2, n, oh, ow): smoothed down the columns
};

template <class T>
__global__ void __launch_bounds__(kLoopThreads) draw_maps_kernel(WarpArgs<T> a, Prepared<T> p) {
  const PhiloxKey key = a.key.get();
  for (int64_t i = first_task(); i < a.n; i += task_stride()) {
    uint32_t words[kMostStages * kStageWords];
    for (int64_t b = 0; b < a.stage_blocks(); ++b) {
      const auto four = philox(key, i * a.image_blocks() + b);
      for (int k = 0; k < 4; ++k) words[4 * b + k] = four.v[k];
    }
    p.map[i] = draw_map(a, words);
  }
}

template <class T>
__global__ void draw_weights_kernel(WarpArgs<T> a, Prepared<T> p) {
  const bool first = threadIdx.x == 0;
  gaussian_weights(a.decay, a.radius, first ? a.oh : a.ow, first ? 1. : a.alpha, first ? p.down : p.along);
}

template <class T>
__global__ void __launch_bounds__(kLoopThreads) draw_noise_kernel(WarpArgs<T> a, Prepared<T> p) {
  const PhiloxKey key = a.key.get();
  const int64_t pixels = a.oh * a.ow, blocks = div_up(pixels, 4), all = a.n * pixels;
  for (int64_t task = first_task(); task < a.n * blocks; task += task_stride()) {
    const int64_t image = task / blocks, block = task % blocks;
    const auto words = philox(key, image * a.image_blocks() + a.stage_blocks() + block);
    for (int k = 0; k < 4 && 4 * block + k < pixels; ++k) {
      const int64_t to = image * pixels + 4 * block + k;
      p.noise[to] = T(noise_x(words.v[k]));
      p.noise[all + to] = T(noise_y(words.v[k]));
    }
  }
}

// The weighted sum over the pixels at from[at * step], `at` going around from `centre` + reach.first.
template <class T>
__device__ T sum_around(const T* from, int64_t step, int64_t centre, int64_t size, const Reach& reach,
                        const T* weight) {
  int64_t at = (centre + reach.first + size) % size;
  T sum = 0;
  for (int64_t j = 0; j < reach.count; ++j) {
    sum += from[at * step] * weight[j];
    at = at + 1 < size ? at + 1 : 0;
  }
  return sum;
}

template <class T>
__device__ T whole_below(T x, int64_t& n) {
  n = static_cast<int64_t>(x);
  const T cut = static_cast<T>(n);
  const T down = cut > x ? cut - T(1) : cut;
  n = static_cast<int64_t>(down);
  return down;
}

// A thread for each pixel of the result, which then takes all its channels.
template <class T>
__global__ void __launch_bounds__(kLoopThreads) warp_kernel(WarpArgs<T> a, Prepared<T> p) {
  const int64_t pixels = a.oh * a.ow, all = a.n * pixels;
  const Reach along(a.radius, a.ow);
  for (int64_t task = first_task(); task < all; task += task_stride()) {
    const int64_t image = task / pixels, oy = task % pixels / a.ow, ox = task % a.ow;
    const AffineMap m = p.map[image];
    const double fy = static_cast<double>(oy);
    T u = T(m.xx) * T(ox) + T(m.xy * fy + m.x0), v = T(m.yx) * T(ox) + T(m.yy * fy + m.y0);
    if (a.alpha != 0) {
      const T* row = p.smooth + task - ox;
      u += sum_around(row, 1, ox, a.ow, along, p.along);
      v += sum_around(row + all, 1, ox, a.ow, along, p.along);
    }
    u = within_border(u, a.w, a.edge, T());
    v = within_border(v, a.h, a.edge, T());
    int64_t iu, iv;
    const T share_x = u - whole_below(u, iu), share_y = v - whole_below(v, iv);
    const int64_t step = a.pixel_step();
    for (int64_t ch = 0; ch < a.c; ++ch) {
      const T* x = a.x + image * a.c * a.h * a.w + ch * a.channel_step(a.h * a.w);
      const auto pixel = [&](int64_t y, int64_t x_at) {
        if (a.edge) {
          y = y < a.h ? y : a.h - 1;
          x_at = x_at < a.w ? x_at : a.w - 1;
        } else if (y < 0 || y >= a.h || x_at < 0 || x_at >= a.w) {
          return a.fill;
        }
        return x[(y * a.w + x_at) * step];
      };
      a.y[image * a.c * pixels + ch * a.channel_step(pixels) + (oy * a.ow + ox) * step] =
          between(between(pixel(iv, iu), pixel(iv, iu + 1), share_x),
                  between(pixel(iv + 1, iu), pixel(iv + 1, iu + 1), share_x), share_y);
    }
  }
}

}  // namespace

template <class T>
void warp(Stream& s, const WarpArgs<T>& a) {
  const int64_t pixels = a.n * a.oh * a.ow;
  if (pixels * a.c == 0) return;
  const bool field = a.alpha != 0;
  const int64_t weights = field ? Reach(a.radius, a.oh).count + Reach(a.radius, a.ow).count : 0;
  const size_t maps = static_cast<size_t>(a.n) * sizeof(AffineMap);
  char* memory =
      static_cast<char*>(workspace(s, maps + static_cast<size_t>(weights + (field ? 4 * pixels : 0)) * sizeof(T)));
  Prepared<T> p{};
  p.map = reinterpret_cast<AffineMap*>(memory);
  start(s, &draw_maps_kernel<T>, blocks_for(a.n, kLoopThreads), kLoopThreads, 0, a, p);
  if (field) {
    p.down = reinterpret_cast<T*>(memory + maps);
    p.along = p.down + Reach(a.radius, a.oh).count;
    p.noise = p.down + weights;
    p.smooth = p.noise + 2 * pixels;
    start(s, &draw_weights_kernel<T>, 1, 2, 0, a, p);
    start(s, &draw_noise_kernel<T>, blocks_for(a.n * div_up(a.oh * a.ow, 4), kLoopThreads), kLoopThreads, 0, a, p);
    for_each(s, 2 * pixels, [a, noise = p.noise, smooth = p.smooth, down = p.down] __device__(int64_t i) {
      const int64_t y = i / a.ow % a.oh;
      smooth[i] = sum_around(noise + i - y * a.ow, a.ow, y, a.oh, Reach(a.radius, a.oh), down);
    });
  }
  start(s, &warp_kernel<T>, blocks_for(pixels, kLoopThreads), kLoopThreads, 0, a, p);
}

#include "isa/instantiate.h"
#include "ops/warp/kernels.inc"

}  // namespace fnn::cuda
