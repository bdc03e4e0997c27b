#include "ops/pool/cells.h"
#include "core/stream.h"

namespace fnn::FNN_ISA {

// f(n, oy, ox, rows, columns) for every output pixel. Where backward adds into overlapping
// windows a thread takes whole images.
template <class F>
void for_each_window(Stream& s, const PoolShape& z, bool whole_images, const F& f) {
  const int64_t rows = whole_images ? z.oh : 1;
  const int64_t cells = z.adaptive ? (z.h / z.oh + 1) * (z.w / z.ow + 1) : z.kh * z.kw;
  const int64_t per_task = 8192 / (rows * z.ow * z.c * cells + 1) + 1;
  parallel_for(s, z.n * z.oh / rows, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * rows; i < end * rows; ++i) {
      const int64_t n = i / z.oh, oy = i % z.oh;
      const auto window_rows = window_y(z, oy);
      for (int64_t ox = 0; ox < z.ow; ++ox) f(n, oy, ox, window_rows, window_x(z, ox));
    }
  });
}

// f(n, iy, ix, rows, columns) for every input pixel, with the outputs that it may have reached.
template <class F>
void for_each_pixel(Stream& s, const PoolShape& z, const F& f) {
  parallel_for(s, z.n * z.h, 16384 / (z.w * z.c + 1) + 1, [&](int64_t begin, int64_t end) {
    using Columns = Reach<int64_t>;
    auto* columns = static_cast<Columns*>(Stream::thread_workspace(z.w * sizeof(Columns)));
    for (int64_t ix = 0; ix < z.w; ++ix) columns[ix] = reach_x(z, ix, z.stride_w);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / z.h, iy = i % z.h;
      const auto rows = reach_y(z, iy, z.stride_h);
      for (int64_t ix = 0; ix < z.w; ++ix) f(n, iy, ix, rows, columns[ix]);
    }
  });
}

// f(offset of cell (iy, ix) in an (h, w, c) image, iy * w + ix)
template <class F>
FNN_INLINE void for_each_cell(const PoolShape& z, Window<int64_t> rows, Window<int64_t> columns, const F& f) {
  for (int64_t iy = rows.begin; iy < rows.end; iy += rows.step)
    for (int64_t ix = columns.begin; ix < columns.end; ix += columns.step)
      f((iy * z.w + ix) * z.c, static_cast<int32_t>(iy * z.w + ix));
}

// A single channel, in a vector of its own: cheaper than part of a vector.
template <class T>
struct Single {
  int64_t i;
  FNN_INLINE Vec<T> load(const T* p) const { return Vec<T>(p[i]); }
  FNN_INLINE void store(T* p, Vec<T> x) const { p[i] = x.v[0]; }
  static constexpr int count() { return 1; }
};

template <class T, class F>
FNN_INLINE void for_channels(int64_t c, const F& f) {
  c == 1 ? f(Single<T>{0}) : for_vec<T>(0, c, f);
}

// f(at) over the channels, as many vectors beside each other as there are: a pass over a large
// window then reads the lines of memory in turn, each of them once.
template <class T, int K = 8, class F>
FNN_INLINE void for_blocks_of_channels(int64_t i, int64_t c, const F& f) {
  for (; i + K * Vec<T>::N <= c; i += K * Vec<T>::N) {
    Whole<T> at[K];
    for (int k = 0; k < K; ++k) at[k] = {i + k * Vec<T>::N};
    f(at);
  }
  if constexpr (K > 1) {
    for_blocks_of_channels<T, K / 2>(i, c, f);
  } else if (i < c) {
    const Part<T> at[1] = {{i, static_cast<int>(c - i)}};
    f(at);
  }
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
  for_each_window(s, z, false, [&](int64_t n, int64_t oy, int64_t ox, auto rows, auto columns) {
    const T* image = a.x + n * z.h * z.w * z.c;
    const int64_t out = ((n * z.oh + oy) * z.ow + ox) * z.c;
    const auto first = static_cast<typename Vec<T>::Int>(first_cell(z, rows, columns));
    for_channels<T>(z.c, [&](auto at) {
      Vec<T> best(-__builtin_inf());
      Mask cells = Mask{} + first;
      for_each_cell(z, rows, columns, [&](int64_t offset, int32_t cell) {
        keep_larger(at.load(image + offset), Mask{} + cell, best, cells);
      });
      at.store(a.y + out, best);
      store_cells<T>(at, a.index + out, cells);
    });
  });
}

// Every cell adds up the gradients of the windows that chose it. Where a vector would hold few
// channels these are added into the cells instead, in the same order.
template <class T>
void max_pool_bwd(Stream& s, const MaxPoolBwdArgs<T>& a) {
  using Mask = typename Vec<T>::Mask;
  const PoolShape& z = a.s;
  if (z.c < Vec<T>::N) {
    const int64_t in = z.h * z.w * z.c, out = z.oh * z.ow * z.c;
    const bool apart = z.stride_h > z.dilation_h * (z.kh - 1) && z.stride_w > z.dilation_w * (z.kw - 1);
    return parallel_for(s, z.n, 16384 / (in + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * in; i < end * in; ++i) a.dx[i] = T(0);
      for (int64_t n = begin; n < end; ++n)
        for (int64_t i = 0; i < out; i += z.c)
          for (int64_t c = 0; c < z.c; ++c) {
            T& cell = a.dx[n * in + a.index[n * out + i + c] * z.c + c];
            const T dy = a.dy[n * out + i + c];
            cell = apart ? dy : cell + dy;
          }
    });
  }
  for_each_pixel(s, z, [&](int64_t n, int64_t iy, int64_t ix, auto rows, auto columns) {
    T* dx = a.dx + ((n * z.h + iy) * z.w + ix) * z.c;
    const int64_t image = n * z.oh * z.ow * z.c;
    const auto cell = static_cast<int32_t>(iy * z.w + ix);
    const auto for_each_reached = [&](const auto& f) {
      for (int64_t oy = rows.begin; oy < rows.end; ++oy)
        for (int64_t ox = columns.begin; ox < columns.end; ++ox) f(image + (oy * z.ow + ox) * z.c);
    };
    const bool one = rows.end - rows.begin == 1 && columns.end - columns.begin == 1;
    const int64_t first = image + (rows.begin * z.ow + columns.begin) * z.c;
    for_channels<T>(z.c, [&](auto at) {
      const auto chosen = [&](int64_t out) {
        return select(load_cells<T>(at, a.index + out) == Mask{} + cell, at.load(a.dy + out), Vec<T>(0));
      };
      if (one) return at.store(dx, chosen(first));
      Vec<T> total(0);
      for_each_reached([&](int64_t out) { total += chosen(out); });
      at.store(dx, total);
    });
  });
}

template <class T>
void avg_pool_fwd(Stream& s, const AvgPoolArgs<T>& a) {
  const PoolShape& z = a.s;
  for_each_window(s, z, false, [&](int64_t n, int64_t oy, int64_t ox, auto rows, auto columns) {
    const T* image = a.x + n * z.h * z.w * z.c;
    T* y = a.y + ((n * z.oh + oy) * z.ow + ox) * z.c;
    const T scale = T(1) / divisor(a, rows, columns);
    const auto mean = [&]<class At, int K>(const At(&at)[K]) {
      Vec<T> total[K];
      for (auto& v : total) v = Vec<T>(0);
      for_each_cell(z, rows, columns, [&](int64_t offset, int32_t) {
        for (int k = 0; k < K; ++k) total[k] += at[k].load(image + offset);
      });
      for (int k = 0; k < K; ++k) at[k].store(y, total[k] * Vec<T>(scale));
    };
    const Single<T> single[1] = {{0}};
    z.c == 1 ? mean(single) : for_blocks_of_channels<T>(0, z.c, mean);
  });
}

// Every cell adds up the gradients of the windows over it, or they are added into the cells: see
// max_pool_bwd.
template <class T>
void avg_pool_bwd(Stream& s, const AvgPoolArgs<T>& a) {
  const PoolShape& z = a.s;
  const bool same = uniform(a);
  const T common = T(1) / divisor(a, window_y(z, int64_t{0}), window_x(z, int64_t{0}));
  if (z.c < Vec<T>::N) {
    const int64_t width = z.w * z.c;
    return parallel_for(s, z.n * z.h, 16384 / (width + 1) + 1, [&](int64_t begin, int64_t end) {
      auto* columns = static_cast<Window<int64_t>*>(Stream::thread_workspace(z.ow * sizeof(Window<int64_t>)));
      for (int64_t ox = 0; ox < z.ow; ++ox) columns[ox] = window_x(z, ox);
      for (int64_t i = begin * width; i < end * width; ++i) a.y[i] = T(0);
      for (int64_t i = begin; i < end; ++i) {
        T* dx = a.y + i * width;
        const auto rows = reach_y(z, i % z.h, z.stride_h);
        for (int64_t oy = rows.begin; oy < rows.end; ++oy) {
          const T* dy = a.x + (i / z.h * z.oh + oy) * z.ow * z.c;
          for (int64_t ox = 0; ox < z.ow; ++ox, dy += z.c) {
            const Window<int64_t>& window = columns[ox];
            const T scale = same ? common : T(1) / divisor(a, window_y(z, oy), window);
            for (int64_t ix = window.begin; ix < window.end; ix += window.step)
              for (int64_t c = 0; c < z.c; ++c) dx[ix * z.c + c] += scale * dy[c];
          }
        }
      }
    });
  }
  for_each_pixel(s, z, [&](int64_t n, int64_t iy, int64_t ix, auto rows, auto columns) {
    T* dx = a.y + ((n * z.h + iy) * z.w + ix) * z.c;
    bool first = true;
    for (int64_t oy = rows.begin; oy < rows.end; ++oy)
      for (int64_t ox = columns.begin; ox < columns.end; ++ox) {
        const T* dy = a.x + ((n * z.oh + oy) * z.ow + ox) * z.c;
        const Vec<T> scale(same ? common : T(1) / divisor(a, window_y(z, oy), window_x(z, ox)));
        for_channels<T>(z.c, [&](auto at) {
          const Vec<T> g = scale * at.load(dy);
          at.store(dx, first ? g : at.load(dx) + g);
        });
        first = false;
      }
    if (first) for_channels<T>(z.c, [&](auto at) { at.store(dx, Vec<T>(0)); });
  });
}

template <class T>
void lp_pool_fwd(Stream& s, const LpPoolFwdArgs<T>& a) {
  const PoolShape& z = a.s;
  for_each_window(s, z, false, [&](int64_t n, int64_t oy, int64_t ox, auto rows, auto columns) {
    const T* image = a.x + n * z.h * z.w * z.c;
    T* y = a.y + ((n * z.oh + oy) * z.ow + ox) * z.c;
    for_vec<T>(0, z.c, [&](auto at) {
      Vec<T> total(0);
      for_each_cell(z, rows, columns, [&](int64_t offset, int32_t) { total += lp_term(at.load(image + offset), a.p); });
      at.store(y, lp_root(total, a.p));
    });
  });
}

template <class T>
void lp_pool_bwd(Stream& s, const LpPoolBwdArgs<T>& a) {
  const PoolShape& z = a.s;
  zero(s, a.dx, z.n * z.h * z.w * z.c);
  for_each_window(s, z, true, [&](int64_t n, int64_t oy, int64_t ox, auto rows, auto columns) {
    const int64_t image = n * z.h * z.w * z.c, out = ((n * z.oh + oy) * z.ow + ox) * z.c;
    for_vec<T>(0, z.c, [&](auto at) {
      const Vec<T> y = at.load(a.y + out), dy = at.load(a.dy + out);
      for_each_cell(z, rows, columns, [&](int64_t offset, int32_t) {
        T* dx = a.dx + image + offset;
        at.store(dx, at.load(dx) + lp_gradient(at.load(a.x + image + offset), y, dy, a.p));
      });
    });
  });
}

#include "isa/instantiate.h"
#include "ops/pool/kernels.inc"

}  // namespace fnn::FNN_ISA
