#include "ops/pool/tile.h"
#include "core/stream.h"

namespace fnn::FNN_ISA {

// f(n, oy, ox, rows, columns) for every output pixel. Backward adds into overlapping
// windows, so there a thread takes whole images.
template <class F>
void for_each_window(Stream& s, const PoolShape& z, bool whole_images, const F& f) {
  const int64_t rows = whole_images ? z.oh : 1;
  const int64_t per_task = 8192 / (rows * z.ow * z.c * z.kh * z.kw + 1) + 1;
  parallel_for(s, z.n * z.oh / rows, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * rows; i < end * rows; ++i)
      for (int64_t ox = 0; ox < z.ow; ++ox) f(i / z.oh, i % z.oh, ox, window_y(z, i % z.oh), window_x(z, ox));
  });
}

// f(offset of cell (iy, ix) in an (h, w, c) image, iy * w + ix)
template <class F>
FNN_INLINE void for_each_cell(const PoolShape& z, Window rows, Window columns, const F& f) {
  for (int64_t iy = rows.begin; iy < rows.end; iy += rows.step)
    for (int64_t ix = columns.begin; ix < columns.end; ix += columns.step)
      f((iy * z.w + ix) * z.c, static_cast<int32_t>(iy * z.w + ix));
}

template <class T>
void zero(Stream& s, T* x, int64_t n) {
  parallel_for(s, n, 65536, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) x[i] = T(0);
  });
}

template <class T>
void max_pool_fwd(Stream& s, const MaxPoolFwdArgs<T>& a) {
  using Mask = typename Vec<T>::Mask;
  const PoolShape& z = a.s;
  for_each_window(s, z, false, [&](int64_t n, int64_t oy, int64_t ox, Window rows, Window columns) {
    const T* image = a.x + n * z.h * z.w * z.c;
    const int64_t out = ((n * z.oh + oy) * z.ow + ox) * z.c;
    const int64_t first = rows.begin * z.w + columns.begin;
    for_vec<T>(0, z.c, [&](auto at) {
      Vec<T> best = at.load(image + first * z.c);
      Mask cells = Mask{} + static_cast<typename Vec<T>::Int>(first);
      for_each_cell(z, rows, columns, [&](int64_t offset, int32_t cell) {
        keep_larger(at.load(image + offset), Mask{} + cell, best, cells);
      });
      at.store(a.y + out, best);
      store_cells<T>(at, a.index + out, cells);
    });
  });
}

template <class T>
void max_pool_bwd(Stream& s, const MaxPoolBwdArgs<T>& a) {
  using Mask = typename Vec<T>::Mask;
  const PoolShape& z = a.s;
  // Windows that tile the image write each cell once; others add to zeros.
  const bool tiles = z.stride_h == z.kh && z.stride_w == z.kw && z.oh * z.kh == z.h && z.ow * z.kw == z.w &&
                     z.pad_h == 0 && z.pad_w == 0 && z.dilation_h == 1 && z.dilation_w == 1;
  if (!tiles) zero(s, a.dx, z.n * z.h * z.w * z.c);
  for_each_window(s, z, true, [&](int64_t n, int64_t oy, int64_t ox, Window rows, Window columns) {
    T* image = a.dx + n * z.h * z.w * z.c;
    const int64_t out = ((n * z.oh + oy) * z.ow + ox) * z.c;
    for_vec<T>(0, z.c, [&](auto at) {
      const Vec<T> dy = at.load(a.dy + out);
      const Mask cells = load_cells<T>(at, a.index + out);
      for_each_cell(z, rows, columns, [&](int64_t offset, int32_t cell) {
        T* dx = image + offset;
        const Vec<T> g = select(cells == Mask{} + cell, dy, Vec<T>(0));
        at.store(dx, tiles ? g : at.load(dx) + g);
      });
    });
  });
}

template <class T>
FNN_INLINE T divisor(const AvgPoolArgs<T>& a, Window rows, Window columns) {
  if (a.divisor_override) return static_cast<T>(a.divisor_override);
  if (a.count_include_pad) return static_cast<T>(rows.padded * columns.padded);
  return static_cast<T>((rows.end - rows.begin) * (columns.end - columns.begin));
}

template <class T>
void avg_pool_fwd(Stream& s, const AvgPoolArgs<T>& a) {
  const PoolShape& z = a.s;
  for_each_window(s, z, false, [&](int64_t n, int64_t oy, int64_t ox, Window rows, Window columns) {
    const T* image = a.x + n * z.h * z.w * z.c;
    T* __restrict y = a.y + ((n * z.oh + oy) * z.ow + ox) * z.c;
    const T scale = T(1) / divisor(a, rows, columns);
    for (int64_t c = 0; c < z.c; ++c) y[c] = T(0);
    for_each_cell(z, rows, columns, [&](int64_t offset, int32_t) {
      const T* __restrict x = image + offset;
      for (int64_t c = 0; c < z.c; ++c) y[c] += x[c];
    });
    for (int64_t c = 0; c < z.c; ++c) y[c] *= scale;
  });
}

template <class T>
void avg_pool_bwd(Stream& s, const AvgPoolArgs<T>& a) {
  const PoolShape& z = a.s;
  zero(s, a.y, z.n * z.h * z.w * z.c);
  for_each_window(s, z, true, [&](int64_t n, int64_t oy, int64_t ox, Window rows, Window columns) {
    const T* __restrict dy = a.x + ((n * z.oh + oy) * z.ow + ox) * z.c;
    T* image = a.y + n * z.h * z.w * z.c;
    const T scale = T(1) / divisor(a, rows, columns);
    for_each_cell(z, rows, columns, [&](int64_t offset, int32_t) {
      T* __restrict dx = image + offset;
      for (int64_t c = 0; c < z.c; ++c) dx[c] += scale * dy[c];
    });
  });
}

template <class T>
void lp_pool_fwd(Stream& s, const LpPoolFwdArgs<T>& a) {
  const PoolShape& z = a.s;
  const Vec<T> p(a.p), inverse(T(1) / a.p);
  for_each_window(s, z, false, [&](int64_t n, int64_t oy, int64_t ox, Window rows, Window columns) {
    const T* image = a.x + n * z.h * z.w * z.c;
    T* y = a.y + ((n * z.oh + oy) * z.ow + ox) * z.c;
    for_vec<T>(0, z.c, [&](auto at) {
      Vec<T> total(0);
      for_each_cell(z, rows, columns, [&](int64_t offset, int32_t) {
        const Vec<T> x = abs(at.load(image + offset));
        total += a.p == T(2) ? x * x : pow(x, p);
      });
      at.store(y, a.p == T(2) ? sqrt(total) : pow(total, inverse));
    });
  });
}

template <class T>
void lp_pool_bwd(Stream& s, const LpPoolBwdArgs<T>& a) {
  const PoolShape& z = a.s;
  zero(s, a.dx, z.n * z.h * z.w * z.c);
  const Vec<T> none(0), less(a.p - T(1));
  for_each_window(s, z, true, [&](int64_t n, int64_t oy, int64_t ox, Window rows, Window columns) {
    const int64_t image = n * z.h * z.w * z.c, out = ((n * z.oh + oy) * z.ow + ox) * z.c;
    for_vec<T>(0, z.c, [&](auto at) {
      const Vec<T> y = at.load(a.y + out), dy = at.load(a.dy + out);
      for_each_cell(z, rows, columns, [&](int64_t offset, int32_t) {
        const Vec<T> x = at.load(a.x + image + offset), ratio = x / y;  // |x / y| <= 1: no overflow
        const Vec<T> slope = a.p == T(2) ? ratio : select(x < none, -pow(abs(ratio), less), pow(abs(ratio), less));
        T* dx = a.dx + image + offset;
        at.store(dx, at.load(dx) + select(y == none, none, dy * slope));
      });
    });
  });
}

#include "isa/instantiate.h"
#include "ops/pool/kernels.inc"

}  // namespace fnn::FNN_ISA
