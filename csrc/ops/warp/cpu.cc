#include "ops/warp/args.h"

#include "ops/warp/tile.h"
#include "tile/philox.h"

namespace fnn::FNN_ISA {

template <class T>
struct Weights {
  Reach reach;
  const T* weight;  // (reach.count)
};

// What one image needs beside its pixels: rows of `stride` numbers, pairs of vectors.
template <class T>
struct Scratch {
  static constexpr int64_t N = Vec<T>::N;
  int64_t stride, padded_w, padded_size;
  T *share_x, *share_y;          // (stride): of the pixels to the right and below
  typename Vec<T>::Int* corner;  // (stride): which pixel of `padded` lies up and to the left
  T* noise;                      // (oh, 2, stride): in x and y
  T* smooth;                     // (2, stride): a row of it, smoothed
  T* around;                     // (2, stride + ow): a row going on around the torus, while it is smoothed
  T* padded;                     // (c, h + 3, padded_w)

  explicit Scratch(const WarpArgs<T>& a)
      : stride((a.ow + 2 * N - 1) / (2 * N) * (2 * N)), padded_w(a.w + 3), padded_size((a.h + 3) * padded_w) {
    const int64_t field = a.alpha != 0 ? 1 : 0;  // without one its memory is not needed
    const int64_t numbers = 3 * stride + field * (2 * a.oh * stride + 4 * stride + 2 * a.ow) + a.c * padded_size;
    T* next = static_cast<T*>(Stream::thread_workspace(static_cast<size_t>(numbers) * sizeof(T)));
    const auto take = [&](int64_t count) { return (next += count) - count; };
    share_x = take(stride);
    share_y = take(stride);
    corner = reinterpret_cast<typename Vec<T>::Int*>(take(stride));
    noise = take(field * 2 * a.oh * stride);
    smooth = take(field * 2 * stride);
    around = take(field * 2 * (stride + a.ow));
    padded = take(a.c * padded_size);
  }
};

template <class T>
FNN_INLINE void add_border(const WarpArgs<T>& a, const T* x, const Scratch<T>& to) {
  const int64_t step = a.pixel_step();
  for (int64_t ch = 0; ch < a.c; ++ch) {
    for (int64_t py = 0; py < a.h + 3; ++py) {
      T* row = to.padded + ch * to.padded_size + py * to.padded_w;
      int64_t iy = py - 1;
      if (a.edge) iy = iy < 0 ? 0 : iy < a.h ? iy : a.h - 1;
      if (iy < 0 || iy >= a.h) {
        for (int64_t px = 0; px < to.padded_w; ++px) row[px] = a.fill;
        continue;
      }
      const T* from = x + ch * a.channel_step(a.h * a.w) + iy * a.w * step;
      for (int64_t ix = 0; ix < a.w; ++ix) row[1 + ix] = from[ix * step];
      row[0] = a.edge ? row[1] : a.fill;
      row[a.w + 1] = row[a.w + 2] = a.edge ? row[a.w] : a.fill;
    }
  }
}

template <class T>
FNN_INLINE void draw_noise(const WarpArgs<T>& a, uint64_t first_block, const Scratch<T>& to) {
  constexpr int64_t kRun = 4 * kPhiloxBlocks;
  uint32_t words[kRun];
  int64_t used = kRun;
  for (int64_t y = 0; y < a.oh; ++y) {
    T *nx = to.noise + y * 2 * to.stride, *ny = nx + to.stride;
    for (int64_t x = 0; x < a.ow;) {
      if (used == kRun) {
        philox(a.key.value, first_block, words);
        first_block += kPhiloxBlocks;
        used = 0;
      }
      const int64_t count = kRun - used < a.ow - x ? kRun - used : a.ow - x;
      for (int64_t i = 0; i < count; ++i) {
        nx[x + i] = T(noise_x(words[used + i]));
        ny[x + i] = T(noise_y(words[used + i]));
      }
      x += count;
      used += count;
    }
    for (int64_t x = a.ow; x < to.stride; ++x) nx[x] = ny[x] = 0;
  }
}

// to[k] = sum over j of from(j)[k N ...] weight[j] for four vectors, so that their sums do not wait for each other.
template <class T, class From>
FNN_INLINE void weighted_sums(const Weights<T>& w, const From& from, const int64_t (&at)[4], T* const (&to)[4]) {
  Vec<T> sum[4] = {Vec<T>(0), Vec<T>(0), Vec<T>(0), Vec<T>(0)};
  for (int64_t j = 0; j < w.reach.count; ++j) {
    const T* row = from(j);
    const Vec<T> weight(w.weight[j]);
    for (int k = 0; k < 4; ++k) sum[k] += Vec<T>::load(row + at[k]) * weight;
  }
  for (int k = 0; k < 4; ++k) sum[k].store(to[k]);
}

// Row y of the field, smoothed down the columns and then along itself.
template <class T>
FNN_INLINE void smooth_row(const WarpArgs<T>& a, int64_t y, const Weights<T>& down, const Weights<T>& along,
                           const Scratch<T>& s) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t top = (y + down.reach.first + a.oh) % a.oh, row = 2 * s.stride, ring = s.stride + a.ow;
  for (int64_t x = 0; x < row; x += 4 * N) {
    T* const to[4] = {s.smooth + x, s.smooth + x + N, s.smooth + x + 2 * N, s.smooth + x + 3 * N};
    const T *next = s.noise + top * row + x, *end = s.noise + a.oh * row;
    weighted_sums(
        down,
        [&](int64_t) {
          const T* now = next;
          next = next + row < end ? next + row : s.noise + x;
          return now;
        },
        {0, N, 2 * N, 3 * N}, to);
  }
  for (int k = 0; k < 2; ++k) {
    const T* from = s.smooth + k * s.stride;
    T* to = s.around + k * ring;
    const int64_t needed = s.stride + along.reach.count - 1;
    for (int64_t i = 0, at = (along.reach.first + a.ow) % a.ow; i < needed; at = 0) {
      const int64_t count = a.ow - at < needed - i ? a.ow - at : needed - i;
      __builtin_memcpy(to + i, from + at, static_cast<size_t>(count) * sizeof(T));
      i += count;
    }
  }
  for (int64_t x = 0; x < s.stride; x += 2 * N) {
    T *u = s.smooth + x, *v = u + s.stride;
    T* const to[4] = {u, u + N, v, v + N};
    weighted_sums(along, [&](int64_t j) { return s.around + x + j; }, {0, N, ring, ring + N}, to);
  }
}

// Where the pixels of row y are found.
template <class T>
FNN_INLINE void find_row(const WarpArgs<T>& a, const AffineMap& m, int64_t y, const Scratch<T>& s) {
  using V = Vec<T>;
  using Ints = typename V::Mask;
  const double fy = static_cast<double>(y);
  const V xx(m.xx), yx(m.yx), x0(m.xy * fy + m.x0), y0(m.yy * fy + m.y0), one(1);
  V column;
  for (int i = 0; i < V::N; ++i) column.v[i] = T(i);
  const auto floor = [&](V place, Ints& n) {
    n = __builtin_convertvector(place.v, Ints);
    const V cut = V(typename V::Raw(__builtin_convertvector(n, typename V::Raw)));
    const V down = select(cut > place, cut - one, cut);
    n = __builtin_convertvector(down.v, Ints);
    return down;
  };
  for (int64_t x = 0; x < s.stride; x += V::N, column += V(T(V::N))) {
    V u = xx * column + x0, v = yx * column + y0;
    if (a.alpha != 0) {
      u += V::load(s.smooth + x);
      v += V::load(s.smooth + s.stride + x);
    }
    u = within_border(u, a.w, a.edge, T());
    v = within_border(v, a.h, a.edge, T());
    Ints iu, iv;
    (u - floor(u, iu)).store(s.share_x + x);
    (v - floor(v, iv)).store(s.share_y + x);
    const Ints corner = (iv + 1) * static_cast<typename V::Int>(s.padded_w) + iu + 1;
    __builtin_memcpy(s.corner + x, &corner, sizeof corner);
  }
}

template <class T>
FNN_INLINE void sample_row(const WarpArgs<T>& a, const T* padded, const Scratch<T>& s, T* y) {
  using V = Vec<T>;
  const int64_t step = a.pixel_step();
  for (int64_t x = 0; x < a.ow; x += V::N) {
    V up_left, up_right, low_left, low_right;
    for (int i = 0; i < V::N; ++i) {
      const T *above = padded + s.corner[x + i], *below = above + s.padded_w;
      up_left.v[i] = above[0];
      up_right.v[i] = above[1];
      low_left.v[i] = below[0];
      low_right.v[i] = below[1];
    }
    const V share = V::load(s.share_x + x);
    const V value =
        between(between(up_left, up_right, share), between(low_left, low_right, share), V::load(s.share_y + x));
    const int left = static_cast<int>(a.ow - x < V::N ? a.ow - x : V::N);
    if (step == 1) {
      value.store(y + x, left);
    } else {
      for (int i = 0; i < left; ++i) y[(x + i) * step] = value.v[i];
    }
  }
}

template <class T>
void warp(Stream& s, const WarpArgs<T>& a) {
  if (a.n * a.c == 0) return;
  const bool field = a.alpha != 0;
  Weights<T> down{{a.radius, a.oh}, nullptr}, along{{a.radius, a.ow}, nullptr};
  if (field) {
    T* weight = static_cast<T*>(s.workspace(static_cast<size_t>(down.reach.count + along.reach.count) * sizeof(T)));
    gaussian_weights(a.decay, a.radius, a.oh, 1, weight);
    gaussian_weights(a.decay, a.radius, a.ow, a.alpha, weight + down.reach.count);
    down.weight = weight;
    along.weight = weight + down.reach.count;
  }
  parallel_for(s, a.n, 1 + 1024 / (a.c * a.oh * a.ow), [&](int64_t begin, int64_t end) {
    const Scratch<T> scratch(a);
    for (int64_t i = begin; i < end; ++i) {
      const uint64_t block = static_cast<uint64_t>(i * a.image_blocks());
      uint32_t words[kMostStages * kStageWords + 4 * kPhiloxBlocks], run[4 * kPhiloxBlocks];
      for (int64_t b = 0; b < a.stage_blocks(); b += kPhiloxBlocks) {
        philox(a.key.value, block + static_cast<uint64_t>(b), run);
        __builtin_memcpy(words + 4 * b, run, sizeof run);
      }
      const AffineMap map = draw_map(a, words);
      add_border(a, a.x + i * a.c * a.h * a.w, scratch);
      if (field) draw_noise(a, block + static_cast<uint64_t>(a.stage_blocks()), scratch);
      for (int64_t y = 0; y < a.oh; ++y) {
        if (field) smooth_row(a, y, down, along, scratch);
        find_row(a, map, y, scratch);
        T* row = a.y + i * a.c * a.oh * a.ow + y * a.ow * a.pixel_step();
        for (int64_t ch = 0; ch < a.c; ++ch)
          sample_row(a, scratch.padded + ch * scratch.padded_size, scratch, row + ch * a.channel_step(a.oh * a.ow));
      }
    }
  });
}

#include "isa/instantiate.h"
#include "ops/warp/kernels.inc"

}  // namespace fnn::FNN_ISA
