// A thread owns one pixel of what its kernel writes and W channels of it: neighbours in memory
// belong to neighbouring threads. Nothing is added up by two threads, so backward looks from every
// input for the windows over it.
#include <type_traits>

#include "cuda/strided.cuh"
#include "ops/pool/tile.h"

namespace fnn::cuda {
namespace {

constexpr int kThreads = 256;

// What threads divide by, on their way from a number of their own to a pixel and from a pixel to
// the windows over it: known before the kernel starts (cuda/strided.cuh).
template <class Int>
struct Divisors {
  using By = std::conditional_t<std::is_same_v<Int, int32_t>, Divisor, Int>;
  By packs, w, h, stride_h, stride_w;
};

// This thread's pixel and channels in a tensor (n, h, w, c).
template <int W, class Int>
struct Place {
  Int n, y, x, c;
  bool exists;

  __device__ Place(Int images, Int h, Int w, Int channels, const Divisors<Int>& by) {
    const auto i = static_cast<Int>(first_task());
    const Int pixel = i / by.packs, row = pixel / by.w;
    n = row / by.h;
    y = row - n * h;
    x = pixel - row * w;
    c = i * W - pixel * channels;
    exists = n < images;
  }
};

template <int W, class T>
__device__ Pack<T, W> load(const T* p) {
  return *reinterpret_cast<const Pack<T, W>*>(p);
}
template <int W, class T>
__device__ void store(T* p, const Pack<T, W>& x) {
  *reinterpret_cast<Pack<T, W>*>(p) = x;
}

// f(x, iy * w + ix) for the cells of a window in an image (h, w, c), in order. Two are loaded at
// once: of windows 2 wide a row.
template <int W, class T, class Int, class F>
__device__ void for_each_cell(const PoolSizes<Int>& z, const T* image, Window<Int> rows, Window<Int> columns,
                              const F& f) {
  for (Int iy = rows.begin; iy < rows.end; iy += rows.step)
    for (Int ix = columns.begin; ix < columns.end; ix += 2 * columns.step) {
      const Int cell = iy * z.w + ix, second = cell + columns.step;
      const bool both = ix + columns.step < columns.end;
      const auto x = load<W>(image + cell * z.c), next = both ? load<W>(image + second * z.c) : x;
      f(x, cell);
      if (both) f(next, second);
    }
}

// f(offset of the output) for the windows over input (iy, ix) of image n, in order.
template <class Int, class F>
__device__ void for_each_window(const PoolSizes<Int>& z, const Divisors<Int>& by, Int n, Int iy, Int ix, const F& f) {
  const auto rows = reach_y(z, iy, by.stride_h), columns = reach_x(z, ix, by.stride_w);
  for (Int oy = rows.begin; oy < rows.end; ++oy)
    for (Int ox = columns.begin; ox < columns.end; ++ox) f(((n * z.oh + oy) * z.ow + ox) * z.c, oy, ox);
}

template <int W, class T, class Int>
__global__ void __launch_bounds__(kThreads)
    max_pool_fwd_kernel(PoolSizes<Int> z, Divisors<Int> by, MaxPoolFwdArgs<T> a) {
  const Place<W, Int> at(z.n, z.oh, z.ow, z.c, by);
  if (!at.exists) return;
  const auto rows = window_y(z, at.y), columns = window_x(z, at.x);
  const T* image = a.x + at.n * z.h * z.w * z.c + at.c;
  Pack<T, W> best(-__builtin_inf());
  Pack<int32_t, W> cells(first_cell(z, rows, columns));
  for_each_cell<W>(z, image, rows, columns, [&](const Pack<T, W>& x, Int cell) {
    const auto better = is_larger(x, best);
    best = select(better, x, best);
    cells = select(better, Pack<int32_t, W>(cell), cells);
  });
  const Int out = ((at.n * z.oh + at.y) * z.ow + at.x) * z.c + at.c;
  store(a.y + out, best);
  store(a.index + out, cells);
}

template <int W, class T, class Int>
__global__ void __launch_bounds__(kThreads)
    max_pool_bwd_kernel(PoolSizes<Int> z, Divisors<Int> by, MaxPoolBwdArgs<T> a) {
  const Place<W, Int> at(z.n, z.h, z.w, z.c, by);
  if (!at.exists) return;
  const Pack<int32_t, W> cell(at.y * z.w + at.x);
  const Pack<T, W> none(0);
  Pack<T, W> total = none;
  for_each_window(z, by, at.n, at.y, at.x, [&](Int out, Int, Int) {
    out += at.c;
    total += select(load<W>(a.index + out) == cell, load<W>(a.dy + out), none);
  });
  store(a.dx + ((at.n * z.h + at.y) * z.w + at.x) * z.c + at.c, total);
}

template <int W, class T, class Int>
__global__ void __launch_bounds__(kThreads) avg_pool_fwd_kernel(PoolSizes<Int> z, Divisors<Int> by, AvgPoolArgs<T> a) {
  const Place<W, Int> at(z.n, z.oh, z.ow, z.c, by);
  if (!at.exists) return;
  const auto rows = window_y(z, at.y), columns = window_x(z, at.x);
  Pack<T, W> total(0);
  for_each_cell<W>(z, a.x + at.n * z.h * z.w * z.c + at.c, rows, columns,
                   [&](const Pack<T, W>& x, Int) { total += x; });
  store(a.y + ((at.n * z.oh + at.y) * z.ow + at.x) * z.c + at.c, total * Pack<T, W>(T(1) / divisor(a, rows, columns)));
}

// For few outputs of large windows: a block owns one pixel and `lanes` packs of its channels. Thread
// t adds up every (kThreads / lanes)-th cell of the window, and these sums are folded in halves.
template <int W, class T, class Int>
__global__ void __launch_bounds__(kThreads) avg_pool_large_kernel(PoolSizes<Int> z, AvgPoolArgs<T> a, int lanes) {
  constexpr int kAtOnce = 4;  // loads on their way
  using V = Pack<T, W>;
  V* sums = shared_memory<V>();  // (kThreads)
  const int thread = static_cast<int>(threadIdx.x), step = kThreads / lanes;
  const auto pixel = static_cast<Int>(blockIdx.x);
  const Int c = (static_cast<Int>(blockIdx.y) * lanes + thread % lanes) * W;
  const auto rows = window_y(z, pixel / z.ow % z.oh), columns = window_x(z, pixel % z.ow);
  const Int width = columns.end - columns.begin, cells = (rows.end - rows.begin) * width;
  const T* corner = a.x + ((pixel / z.ow / z.oh * z.h + rows.begin) * z.w + columns.begin) * z.c + c;
  V total(0);
  for (Int i = thread / lanes; i < cells && c < z.c; i += kAtOnce * step) {
    V x[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const Int cell = i + k * step;
      x[k] = cell < cells ? load<W>(corner + (cell / width * z.w + cell % width) * z.c) : V(0);
    }
#pragma unroll
    for (const V& one : x) total += one;
  }
  sums[thread] = total;
  for (int half = kThreads / 2; half >= lanes; half /= 2) {
    __syncthreads();
    if (thread < half) sums[thread] += sums[thread + half];
  }
  if (thread < lanes && c < z.c) store(a.y + pixel * z.c + c, sums[thread] * V(T(1) / divisor(a, rows, columns)));
}

// `common` is what all windows divide by, or 0.
template <int W, class T, class Int>
__global__ void __launch_bounds__(kThreads)
    avg_pool_bwd_kernel(PoolSizes<Int> z, Divisors<Int> by, AvgPoolArgs<T> a, T common) {
  const Place<W, Int> at(z.n, z.h, z.w, z.c, by);
  if (!at.exists) return;
  Pack<T, W> total(0);
  for_each_window(z, by, at.n, at.y, at.x, [&](Int out, Int oy, Int ox) {
    const T count = common != 0 ? common : divisor(a, window_y(z, oy), window_x(z, ox));
    total += Pack<T, W>(T(1) / count) * load<W>(a.x + out + at.c);
  });
  store(a.y + ((at.n * z.h + at.y) * z.w + at.x) * z.c + at.c, total);
}

template <int W, class T, class Int>
__global__ void __launch_bounds__(kThreads) lp_pool_fwd_kernel(PoolSizes<Int> z, Divisors<Int> by, LpPoolFwdArgs<T> a) {
  const Place<W, Int> at(z.n, z.oh, z.ow, z.c, by);
  if (!at.exists) return;
  Pack<T, W> total(0);
  for_each_cell<W>(z, a.x + at.n * z.h * z.w * z.c + at.c, window_y(z, at.y), window_x(z, at.x),
                   [&](const Pack<T, W>& x, Int) { total += lp_term(x, a.p); });
  store(a.y + ((at.n * z.oh + at.y) * z.ow + at.x) * z.c + at.c, lp_root(total, a.p));
}

template <int W, class T, class Int>
__global__ void __launch_bounds__(kThreads) lp_pool_bwd_kernel(PoolSizes<Int> z, Divisors<Int> by, LpPoolBwdArgs<T> a) {
  const Place<W, Int> at(z.n, z.h, z.w, z.c, by);
  if (!at.exists) return;
  const Int in = ((at.n * z.h + at.y) * z.w + at.x) * z.c + at.c;
  const auto x = load<W>(a.x + in);
  Pack<T, W> total(0);
  for_each_window(z, by, at.n, at.y, at.x, [&](Int out, Int, Int) {
    out += at.c;
    total += lp_gradient(x, load<W>(a.y + out), load<W>(a.dy + out), a.p);
  });
  store(a.dx + in, total);
}

// Whether 32 bits hold all that is computed with these sizes.
bool narrow(const PoolShape& z) {
  constexpr int64_t kLimit = 1 << 30;
  for (const int64_t size : {z.kh, z.kw, z.stride_h, z.stride_w, z.pad_h, z.pad_w, z.dilation_h, z.dilation_w})
    if (size > kLimit / 16) return false;
  return z.inputs() < kLimit && z.outputs() < kLimit && z.h * (z.oh + 1) < kLimit && z.w * (z.ow + 1) < kLimit &&
         z.oh * (z.h + 1) < kLimit && z.ow * (z.w + 1) < kLimit && z.kh * z.dilation_h < kLimit &&
         z.kw * z.dilation_w < kLimit;
}

template <class... P>
bool aligned(const P*... p) {
  return ((reinterpret_cast<uintptr_t>(p) | ...) & 15) == 0;
}

// f(width, sizes): with channels in packs of 16 bytes where all pixels begin at a multiple of
// them, and in 32 bits where these suffice.
template <class T, class F>
void with_layout(const PoolShape& z, bool pointers_aligned, const F& f) {
  constexpr int W = Vec<T>::N;
  const auto with_width = [&](auto sizes) {
    if (pointers_aligned && z.c % W == 0)
      f(std::integral_constant<int, W>(), sizes);
    else
      f(std::integral_constant<int, 1>(), sizes);
  };
  if (!narrow(z)) return with_width(z);
  const auto i32 = [](int64_t size) { return static_cast<int32_t>(size); };
  with_width(PoolSizes<int32_t>{i32(z.n), i32(z.c), i32(z.h), i32(z.w), i32(z.oh), i32(z.ow), i32(z.kh), i32(z.kw),
                                i32(z.stride_h), i32(z.stride_w), i32(z.pad_h), i32(z.pad_w), i32(z.dilation_h),
                                i32(z.dilation_w), z.adaptive});
}

// A thread for every W channels of a tensor (n, h, w, c).
template <int W, class Int, class Kernel, class... Args>
void start_each(Stream& s, std::integral_constant<int, W>, const PoolSizes<Int>& z, Int h, Int w, Kernel kernel,
                const Args&... args) {
  using By = typename Divisors<Int>::By;
  const Divisors<Int> by{By(z.c / W), By(w), By(h), By(z.stride_h), By(z.stride_w)};
  start(s, kernel, static_cast<unsigned>(div_up(int64_t{z.n} * h * w * (z.c / W), kThreads)), kThreads, 0, z, by,
        args...);
}

}  // namespace

template <class T>
void max_pool_fwd(Stream& s, const MaxPoolFwdArgs<T>& a) {
  with_layout<T>(a.s, aligned(a.x, a.y, a.index), [&](auto width, auto z) {
    start_each(s, width, z, z.oh, z.ow, &max_pool_fwd_kernel<width, T, decltype(z.n)>, a);
  });
}

template <class T>
void max_pool_bwd(Stream& s, const MaxPoolBwdArgs<T>& a) {
  with_layout<T>(a.s, aligned(a.index, a.dy, a.dx), [&](auto width, auto z) {
    start_each(s, width, z, z.h, z.w, &max_pool_bwd_kernel<width, T, decltype(z.n)>, a);
  });
}

template <class T>
void avg_pool_fwd(Stream& s, const AvgPoolArgs<T>& a) {
  constexpr int64_t kLargeWindow = 128, kFewThreads = 1 << 17, kMaxLanes = 8;  // lanes load 128 bytes together
  const PoolShape& z = a.s;
  const int64_t cells = z.adaptive ? z.h / z.oh * (z.w / z.ow) : z.kh * z.kw;
  with_layout<T>(z, aligned(a.x, a.y), [&](auto width, auto sizes) {
    using Int = decltype(sizes.n);
    const int64_t packs = z.c / width;
    if (cells < kLargeWindow || z.outputs() / width > kFewThreads)
      return start_each(s, width, sizes, sizes.oh, sizes.ow, &avg_pool_fwd_kernel<width, T, Int>, a);
    int lanes = 1;
    while (lanes < kMaxLanes && lanes < packs) lanes *= 2;
    const dim3 grid(static_cast<unsigned>(z.n * z.oh * z.ow), static_cast<unsigned>(div_up(packs, lanes)));
    start(s, &avg_pool_large_kernel<width, T, Int>, grid, kThreads, kThreads * width * sizeof(T), sizes, a, lanes);
  });
}

template <class T>
void avg_pool_bwd(Stream& s, const AvgPoolArgs<T>& a) {
  const T common = uniform(a) ? divisor(a, window_y(a.s, int64_t{0}), window_x(a.s, int64_t{0})) : T(0);
  with_layout<T>(a.s, aligned(a.x, a.y), [&](auto width, auto z) {
    start_each(s, width, z, z.h, z.w, &avg_pool_bwd_kernel<width, T, decltype(z.n)>, a, common);
  });
}

template <class T>
void lp_pool_fwd(Stream& s, const LpPoolFwdArgs<T>& a) {
  with_layout<T>(a.s, aligned(a.x, a.y), [&](auto width, auto z) {
    start_each(s, width, z, z.oh, z.ow, &lp_pool_fwd_kernel<width, T, decltype(z.n)>, a);
  });
}

template <class T>
void lp_pool_bwd(Stream& s, const LpPoolBwdArgs<T>& a) {
  with_layout<T>(a.s, aligned(a.x, a.y, a.dy, a.dx), [&](auto width, auto z) {
    start_each(s, width, z, z.h, z.w, &lp_pool_bwd_kernel<width, T, decltype(z.n)>, a);
  });
}

#include "isa/instantiate.h"
#include "ops/pool/kernels.inc"

}  // namespace fnn::cuda
