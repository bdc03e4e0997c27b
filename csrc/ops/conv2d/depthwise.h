// Convolutions of many thin groups, depthwise ones above all: a lane of a vector is a
// group. Images are copied, some rows at a time and with their padding, into planes of N
// neighbouring groups, where every channel of a group is a vector of its own:
//
//   (blocks, channels a group, rows, width, N)      group = block * N + lane
//
// Sums then run over vectors and nothing is wasted but the lanes of the last block.
#pragma once

#include "ops/conv2d/data_gradient.h"
#include "ops/conv2d/tail.h"
#include "tile/reduce.h"

namespace fnn::FNN_ISA {

template <class T>
FNN_INLINE int64_t lane_blocks(int64_t groups) {
  return (groups + Vec<T>::N - 1) / Vec<T>::N;
}

// Whether that is less work than the register tile, group by group, whose columns are a
// group's outputs.
template <class T>
FNN_INLINE bool lanes_pay(int64_t groups, int64_t outputs) {
  return outputs * lane_blocks<T>(groups) < groups * lane_blocks<T>(outputs);
}

// N pixels' worth of Each neighbouring numbers to Each vectors, or back. Interleaving the first
// half of a list with the second turns the bits of every number's place in it by one.
template <class T, int Each, bool to>
FNN_INLINE void turn_lanes(const T* x, int64_t x_step, T* y, int64_t y_step) {
  constexpr int kTimes = __builtin_ctz(to ? Vec<T>::N : Each);
  Vec<T> v[Each];
#pragma GCC unroll 8
  for (int i = 0; i < Each; ++i) v[i] = Vec<T>::load(x + i * x_step);
#pragma GCC unroll 4
  for (int time = 0; time < kTimes; ++time) {
    Vec<T> next[Each];
#pragma GCC unroll 4
    for (int i = 0; i < Each / 2; ++i) zip<Vec<T>::N>(v[i], v[i + Each / 2], next[2 * i], next[2 * i + 1]);
#pragma GCC unroll 8
    for (int i = 0; i < Each; ++i) v[i] = next[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < Each; ++i) v[i].store(y + i * y_step);
}

// `lanes` groups of a pixel, x (lanes, each), to planes (each, .., lanes).
template <class T>
FNN_INLINE void spread(const T* x, int64_t lanes, int64_t each, T* y, int64_t plane) {
  constexpr int N = Vec<T>::N;
  if (lanes == N && each == 2) return turn_lanes<T, 2, true>(x, N, y, plane);
  if (lanes == N && each == 4) return turn_lanes<T, 4, true>(x, N, y, plane);
  if (lanes == N && each == 8) return turn_lanes<T, 8, true>(x, N, y, plane);
  for (int64_t l = 0; l < lanes; ++l)
    for (int64_t j = 0; j < each; ++j) y[j * plane + l] = x[l * each + j];
}
template <class T>
FNN_INLINE void gather(const T* y, int64_t plane, int64_t lanes, int64_t each, T* x) {
  constexpr int N = Vec<T>::N;
  if (lanes == N && each == 2) return turn_lanes<T, 2, false>(y, plane, x, N);
  if (lanes == N && each == 4) return turn_lanes<T, 4, false>(y, plane, x, N);
  if (lanes == N && each == 8) return turn_lanes<T, 8, false>(y, plane, x, N);
  for (int64_t l = 0; l < lanes; ++l)
    for (int64_t j = 0; j < each; ++j) x[l * each + j] = y[j * plane + l];
}

constexpr int64_t kLaneBytes = 192 << 10;  // planes that are worked on together, in the second-level cache

// How many of `rows` fit there, when each needs `each` numbers and `more` are needed anyway.
template <class T>
FNN_INLINE int64_t lane_rows(int64_t rows, int64_t each, int64_t more) {
  const int64_t fit = (kLaneBytes / static_cast<int64_t>(sizeof(T)) - more) / (each + 1);
  return fit < 1 ? 1 : fit < rows ? fit : rows;
}

// Numbers from one plane to the next: an odd number of cache lines, or a pixel's planes would
// lie in the same few sets of the cache.
template <class T>
FNN_INLINE int64_t lane_plane(int64_t rows, int64_t width) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  return ((rows * width * Vec<T>::N + kLine - 1) / kLine | 1) * kLine;
}

// Planes of rows [y0, y1) of an image (h, w, groups * each), padded as pad_rows() does;
// `plane` numbers from one plane to the next.
template <class T>
void to_lanes(const T* x, int64_t h, int64_t w, int64_t groups, int64_t each, int64_t y0, int64_t y1, int64_t left,
              int64_t right, T* out, int64_t plane) {
  constexpr int N = Vec<T>::N;
  const int64_t width = left + w + right, planes = lane_blocks<T>(groups) * each;
  const auto clear = [&](T* row, int64_t pixels) {
    for (int64_t p = 0; p < planes; ++p)
      for (int64_t q = 0; q < pixels; ++q) Vec<T>(0).store(row + p * plane + q * N);
  };
  for (int64_t y = y0; y < y1; ++y, out += width * N) {
    if (y < 0 || y >= h) {
      clear(out, width);
      continue;
    }
    clear(out, left);
    clear(out + (left + w) * N, right);
    const T* from = x + y * w * groups * each;
    for (int64_t q = 0; q < w; ++q, from += groups * each) {
      T* to = out + (left + q) * N;
      int64_t g = 0;
      if (each == 1)
        for (; g + N <= groups; g += N, to += plane) Vec<T>::load(from + g).store(to);
      for (; g < groups; g += N, to += each * plane)
        spread(from + g * each, groups - g < N ? groups - g : N, each, to, plane);
    }
  }
}

// The way back: `rows` rows of an image (.., w, groups * each).
template <class T>
void from_lanes(const T* planes, int64_t plane, int64_t groups, int64_t each, int64_t pixels, T* y) {
  constexpr int N = Vec<T>::N;
  for (int64_t q = 0; q < pixels; ++q, planes += N, y += groups * each)
    for (int64_t g = 0; g < groups; g += N)
      gather(planes + g / N * each * plane, plane, groups - g < N ? groups - g : N, each, y + g * each);
}

// f(a constant) for a count of 1 to Most known at run time.
template <int Most, class F>
FNN_INLINE void with_count(int64_t count, const F& f) {
  struct Constant {
    constexpr operator int() const { return Most; }
  };
  if constexpr (Most > 1)
    if (count < Most) return with_count<Most - 1>(count, f);
  f(Constant{});
}

// Sums for some blocks of groups, and for `to` outputs of each group:
// dst[r, q] = factors[0] + sum over terms t of src[r, q, offset[t]] factors[1 + t].
template <class T>
struct LaneSlide {
  const T* src;  // planes, where the terms of output (0, 0) are counted from
  int64_t src_block, src_row, src_pixel;
  const int64_t* offset;  // (terms)
  int64_t terms, run;     // terms in runs of so many, whose offsets lie src_pixel apart
  const T* factors;       // (blocks, to, 1 + terms, N)
  T* dst;                 // planes, or an image where dst_block is N
  int64_t dst_block, dst_each, dst_row, dst_pixel;
  int64_t rows, pixels, groups, to;
};

constexpr int kLanePixels = 8;  // sums at a time: as many as are on their way in two multipliers
constexpr int kLaneRun = 5;
// The length of the runs of a kernel's row of taps, which may meet the same pixels in turn.
FNN_INLINE int64_t lane_run(int64_t taps, bool same_pixels) {
  int64_t run = same_pixels && taps > 0 ? kLaneRun : 1;
  while (taps % run != 0) --run;
  return run;
}

// Columns [begin, end) of output i of block b, Pixels at a time. A run reads every number
// once, from where its neighbours' sums have it in a register.
template <int Pixels, int Run, class T>
void lane_columns(const LaneSlide<T>& a, int64_t b, int64_t i, int64_t begin, int64_t end) {
  constexpr int N = Vec<T>::N;
  const int64_t left = a.groups - b * N, pixel = a.src_pixel, dst_pixel = a.dst_pixel, terms = a.terms;
  const int lanes = a.dst_block == N && left < N ? static_cast<int>(left) : N;
  const T* factors = a.factors + (b * a.to + i) * (1 + terms) * N;
  const int64_t* offset = a.offset;
  for (int64_t r = 0; r < a.rows; ++r)
    for (int64_t q = begin; q < end; q += Pixels) {
      const T* src = a.src + b * a.src_block + r * a.src_row + q * pixel;
      T* dst = a.dst + b * a.dst_block + i * a.dst_each + r * a.dst_row + q * dst_pixel;
      Vec<T> acc[Pixels];
#pragma GCC unroll 8
      for (int p = 0; p < Pixels; ++p) acc[p] = Vec<T>::load(factors);
      for (int64_t t = 0; t < terms; t += Run) {
        const T* x = src + offset[t];
#pragma GCC unroll 8
        for (int u = 0; u < Run; ++u) {
          const Vec<T> factor = Vec<T>::load(factors + (1 + t + u) * N);
#pragma GCC unroll 8
          for (int p = 0; p < Pixels; ++p) acc[p] = fma(Vec<T>::load(x + (p + u) * pixel), factor, acc[p]);
        }
      }
#pragma GCC unroll 8
      for (int p = 0; p < Pixels; ++p)
        lanes == N ? acc[p].store(dst + p * dst_pixel) : acc[p].store(dst + p * dst_pixel, lanes);
    }
}

template <class T>
void slide_lanes(const LaneSlide<T>& a) {
  const int64_t tiles = (a.pixels + kLanePixels - 1) / kLanePixels;
  const int64_t step = tiles > 0 ? (a.pixels + tiles - 1) / tiles : 1, whole = a.pixels / step * step;
  const int64_t ends[] = {0, whole, a.pixels};
  with_count<kLaneRun>(a.run, [&](auto run) {
    for (int64_t b = 0; b * Vec<T>::N < a.groups; ++b)
      for (int64_t i = 0; i < a.to; ++i)
        for (int part = 0; part < 2; ++part)
          if (ends[part] < ends[part + 1])
            with_count<kLanePixels>(part == 0 ? step : a.pixels - whole, [&](auto pixels) {
              lane_columns<pixels, run>(a, b, i, ends[part], ends[part + 1]);
            });
  });
}

// w[group * og + i, j, ky, kx] of the groups of block b, as lanes.
template <class T>
FNN_INLINE void pack_lanes(const ConvShape& z, const T* w, int64_t b, int64_t i, int64_t j, int64_t ky, int64_t kx,
                           T* to) {
  constexpr int N = Vec<T>::N;
  const int64_t og = z.o / z.groups;
  w += i * z.ws[0] + j * z.ws[1] + ky * z.ws[2] + kx * z.ws[3];
  for (int64_t l = 0; l < N; ++l) to[l] = b * N + l < z.groups ? w[(b * N + l) * og * z.ws[0]] : T(0);
}

template <class T>
void lane_forward(Stream& s, const Conv2dFwdArgs<T>& a) {
  constexpr int N = Vec<T>::N;
  const ConvShape& z = a.s;
  const int64_t cg = z.c / z.groups, og = z.o / z.groups, taps = z.kh * z.kw, terms = cg * taps;
  const int64_t blocks = lane_blocks<T>(z.groups), width = z.left + z.w + z.right;

  // An image, or some of its rows, a task.
  const int64_t out_rows = a.tail.pool ? z.oh / 2 * 2 : z.oh;
  const int64_t row = width * blocks * cg * N;  // numbers, in planes
  const int64_t span = (z.kh - 1) * z.dilation_h + 1;
  const int64_t wanted = (z.n * out_rows + 4 * s.threads - 1) / (4 * s.threads);  // at most, for all to have work
  int64_t strip = lane_rows<T>(wanted < out_rows ? wanted : out_rows, z.stride_h * row, (span - z.stride_h) * row);
  if (a.tail.pool) strip += strip % 2;
  const int64_t strips = (out_rows + strip - 1) / strip;
  const int64_t plane = lane_plane<T>((strip - 1) * z.stride_h + span, width);

  T* factors = static_cast<T*>(
      s.workspace(blocks * og * (1 + terms) * N * sizeof(T) + terms * static_cast<int64_t>(sizeof(int64_t))));
  int64_t* offset = reinterpret_cast<int64_t*>(factors + blocks * og * (1 + terms) * N);
  for (int64_t j = 0; j < cg; ++j)
    for (int64_t t = 0; t < taps; ++t)
      offset[j * taps + t] = j * plane + (t / z.kw * z.dilation_h * width + t % z.kw * z.dilation_w) * N;
  T* to = factors;
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t i = 0; i < og; ++i) {
      for (int64_t l = 0; l < N; ++l, ++to) *to = a.b && b * N + l < z.groups ? a.b[(b * N + l) * og + i] : T(0);
      for (int64_t j = 0; j < cg; ++j)
        for (int64_t t = 0; t < taps; ++t, to += N) pack_lanes(z, a.w, b, i, j, t / z.kw, t % z.kw, to);
    }

  parallel_for(s, z.n * strips, 1, [&](int64_t begin, int64_t end) {
    const int64_t in_size = blocks * cg * plane, out_plane = lane_plane<T>(strip, z.ow);
    const int64_t lane_size = og > 1 ? blocks * og * out_plane : 0;
    T* in = static_cast<T*>(Stream::thread_workspace((in_size + lane_size + (a.tail.pool ? strip * z.ow * z.o : 0)) *
                                                     static_cast<int64_t>(sizeof(T))));
    T *lanes = in + in_size, *full = lanes + lane_size;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / strips, r = i % strips * strip, rows = out_rows - r < strip ? out_rows - r : strip;
      const int64_t y0 = r * z.stride_h - z.top;
      to_lanes(a.x + n * z.h * z.w * z.c, z.h, z.w, z.groups, cg, y0, y0 + (rows - 1) * z.stride_h + span, z.left,
               z.right, in, plane);
      T* y = a.tail.pool ? full : a.y + (n * z.oh + r) * z.ow * z.o;
      LaneSlide<T> slide{in,
                         cg * plane,
                         z.stride_h * width * N,
                         z.stride_w * N,
                         offset,
                         terms,
                         lane_run(z.kw, z.dilation_w == z.stride_w),
                         factors,
                         y,
                         N,
                         0,
                         z.ow * z.o,
                         z.o,
                         rows,
                         z.ow,
                         z.groups,
                         og};
      if (og > 1) {
        slide.dst = lanes;
        slide.dst_each = out_plane;
        slide.dst_block = og * slide.dst_each;
        slide.dst_row = z.ow * N;
        slide.dst_pixel = N;
      }
      slide_lanes(slide);
      if (og > 1) from_lanes(lanes, slide.dst_each, z.groups, og, rows * z.ow, y);
      if (a.tail.pool) {
        for (int64_t p = 0; p < rows; p += 2) {
          const int64_t at = (n * (z.oh / 2) + (r + p) / 2) * (z.ow / 2) * z.o;
          pool_rows(a.tail, full + p * z.ow * z.o, z.ow * z.o, z.ow / 2, z.o, a.y + at, a.cell + at);
        }
      } else if (a.tail.has_activation) {
        activate(a.tail, y, rows * z.ow * z.o);
      }
    }
  });
}

// As DataGradient: inputs of one phase of the strides are a convolution over dz.
template <class T>
class LaneDataGradient {
 public:
  explicit LaneDataGradient(const Conv2dBwdArgs<T>& a)
      : a(a), z(a.s), cg(z.c / z.groups), og(z.o / z.groups), blocks(lane_blocks<T>(z.groups)) {
    reach(z.w, z.ow, horizontal(0), left_, right_);
    first_ = last_ = 0;
    for (int64_t y = 0; y < z.stride_h; ++y)
      for (int64_t k = 0; k < z.kh; ++k)
        if (const Phase v = vertical(y); v.sees(k)) {
          if (v.shift(k) < first_) first_ = v.shift(k);
          if (v.shift(k) > last_) last_ = v.shift(k);
        }
    const int64_t steps = (z.h + z.stride_h - 1) / z.stride_h, row = width() * blocks * og * N;
    steps_ = lane_rows<T>(steps, row + (cg > 1 ? z.stride_h * out_row() : 0), (last_ - first_) * row);
    plane_ = lane_plane<T>(steps_ + last_ - first_, width());
    out_plane_ = lane_plane<T>(steps_ * z.stride_h, z.w);
  }

  int64_t packed_elements() const {
    const int64_t phases = z.stride_h * z.stride_w, terms = z.kh * z.kw * og;
    return blocks * cg * (phases + terms) * N + terms * static_cast<int64_t>(sizeof(int64_t) / sizeof(T));
  }
  int64_t scratch_elements() const { return blocks * og * plane_ + (cg > 1 ? blocks * cg * out_plane_ : 0); }

  void prepare(Stream&, T* packed) {
    packed_ = packed;
    each_phase([&](Phase v, Phase h, T* factors, int64_t* offset) {
      each_term(v, h, [&](int64_t i, int64_t ky, int64_t kx) {
        *offset++ = i * plane_ + ((v.shift(ky) - first_) * width() + h.shift(kx) + left_) * N;
      });
      for (int64_t b = 0; b < blocks; ++b)
        for (int64_t j = 0; j < cg; ++j) {
          Vec<T>(0).store(factors);
          each_term(v, h,
                    [&](int64_t i, int64_t ky, int64_t kx) { pack_lanes(z, a.w, b, i, j, ky, kx, factors += N); });
          factors += N;
        }
    });
  }

  void image(const T* dz, T* dx, T* planes) const {
    T* lanes = planes + blocks * og * plane_;
    const int64_t strip = steps_ * z.stride_h;
    for (int64_t t = 0; t * z.stride_h < z.h; t += steps_) {
      const int64_t row = t * z.stride_h, rows = z.h - row < strip ? z.h - row : strip;
      const int64_t steps = (rows + z.stride_h - 1) / z.stride_h;
      to_lanes(dz, z.oh, z.ow, z.groups, og, t + first_, t + steps + last_, left_, right_, planes, plane_);
      T* image = dx + row * z.w * z.c;
      each_phase([&](Phase v, Phase h, const T* factors, const int64_t* offset) {
        const bool direct = cg == 1;
        const int64_t pixel = direct ? z.c : N;
        slide_lanes(LaneSlide<T>{planes, og * plane_, width() * N, N, offset, v.count() * h.count() * og,
                                 lane_run(h.count(), z.stride_w % z.dilation_w == 0), factors,
                                 (direct ? image : lanes) + (v.phase * z.w + h.phase) * pixel,
                                 direct ? N : cg * out_plane_, out_plane_, z.stride_h * z.w * pixel, z.stride_w * pixel,
                                 v.inputs(rows), h.inputs(z.w), z.groups, cg});
      });
      if (cg > 1) from_lanes(lanes, out_plane_, z.groups, cg, rows * z.w, image);
    }
  }

 private:
  static constexpr int N = Vec<T>::N;
  Phase vertical(int64_t phase) const { return {phase, z.stride_h, z.dilation_h, z.top, z.kh}; }
  Phase horizontal(int64_t phase) const { return {phase, z.stride_w, z.dilation_w, z.left, z.kw}; }
  int64_t width() const { return left_ + z.ow + right_; }
  int64_t out_row() const { return z.w * blocks * cg * N; }  // of dx, in planes

  // f(output of a group, ky, kx) for what a phase sees, kx from the last to the first, so
  // that the pixels of dz ascend.
  template <class F>
  void each_term(Phase v, Phase h, const F& f) const {
    for (int64_t i = 0; i < og; ++i)
      for (int64_t ky = 0; ky < z.kh; ++ky)
        for (int64_t kx = z.kw - 1; kx >= 0; --kx)
          if (v.sees(ky) && h.sees(kx)) f(i, ky, kx);
  }

  // f(vertical, horizontal, its factors, its offsets)
  template <class F>
  void each_phase(const F& f) const {
    T* factors = packed_;
    auto* offset = reinterpret_cast<int64_t*>(packed_ + blocks * cg * (z.stride_h * z.stride_w + z.kh * z.kw * og) * N);
    for (int64_t y = 0; y < z.stride_h; ++y)
      for (int64_t x = 0; x < z.stride_w; ++x) {
        const Phase v = vertical(y), h = horizontal(x);
        const int64_t terms = v.count() * h.count() * og;
        f(v, h, factors, offset);
        factors += blocks * cg * (1 + terms) * N;
        offset += terms;
      }
  }

  const Conv2dBwdArgs<T>& a;
  const ConvShape& z;
  const int64_t cg, og, blocks;
  int64_t left_, right_;       // of dz, where windows reach over it
  int64_t first_, last_;       // rows of dz that step t sees: t + first_ to t + last_
  int64_t steps_;              // of the vertical stride, worked on together
  int64_t plane_, out_plane_;  // numbers in a plane of dz, of dx
  T* packed_ = nullptr;
};

// As WeightGradient. A sum is (blocks, og, cg, kh, kw, N).
template <class T>
class LaneWeightGradient {
 public:
  explicit LaneWeightGradient(const Conv2dBwdArgs<T>& a)
      : a(a), z(a.s), cg(z.c / z.groups), og(z.o / z.groups), blocks(lane_blocks<T>(z.groups)) {
    const int64_t in_row = width() * blocks * cg * N, out_row = z.ow * blocks * og * N;
    strip_ = lane_rows<T>(z.oh, z.stride_h * in_row + out_row, (span() - z.stride_h) * in_row);
  }

  int64_t elements() const { return blocks * og * cg * z.kh * z.kw * N; }
  int64_t image_elements() const { return z.h * z.w * z.c; }
  int64_t scratch_elements(int64_t) const { return blocks * (cg * in_plane() + og * out_plane()); }
  void offsets(int64_t, int64_t, int64_t*) const {}

  void add(int64_t n, int64_t images, int64_t row, int64_t rows, const T* dz, const int64_t*, bool accumulate, T* sum,
           T* in) const {
    T* out = in + blocks * cg * in_plane();
    if (!accumulate)
      for (int64_t i = 0; i < elements(); ++i) sum[i] = T(0);
    for (int64_t i = 0; i < images; ++i)
      for (int64_t r = 0; r < rows; r += strip_) {
        const int64_t count = rows - r < strip_ ? rows - r : strip_, y0 = (row + r) * z.stride_h - z.top;
        to_lanes(a.x + (n + i) * image_elements(), z.h, z.w, z.groups, cg, y0, y0 + (count - 1) * z.stride_h + span(),
                 z.left, z.right, in, in_plane());
        to_lanes(dz + i * rows * z.ow * z.o, rows, z.ow, z.groups, og, r, r + count, 0, 0, out, out_plane());
        T* to = sum;
        for (int64_t b = 0; b < blocks; ++b)
          for (int64_t o = 0; o < og; ++o)
            for (int64_t c = 0; c < cg; ++c, to += z.kh * z.kw * N)
              products(in + (b * cg + c) * in_plane(), out + (b * og + o) * out_plane(), count, to);
      }
  }

  void finish(Stream&, T* sums, int64_t parts) const {
    column_sums(sums, parts, elements(), sums, elements());
    for (int64_t b = 0; b < blocks; ++b)
      for (int64_t o = 0; o < og; ++o)
        for (int64_t c = 0; c < cg; ++c)
          for (int64_t t = 0; t < z.kh * z.kw; ++t, sums += N) {
            T* dw = a.dw + o * z.ws[0] + c * z.ws[1] + t / z.kw * z.ws[2] + t % z.kw * z.ws[3];
            for (int64_t l = 0; l < N && b * N + l < z.groups; ++l) dw[(b * N + l) * og * z.ws[0]] = sums[l];
          }
  }

 private:
  static constexpr int N = Vec<T>::N, kTaps = 6;
  int64_t width() const { return z.left + z.w + z.right; }
  int64_t span() const { return (z.kh - 1) * z.dilation_h + 1; }
  int64_t in_plane() const { return lane_plane<T>((strip_ - 1) * z.stride_h + span(), width()); }
  int64_t out_plane() const { return lane_plane<T>(strip_, z.ow); }

  // sum[tap] += the products of one plane of x and one of dz; some taps at a time, and
  // pixels in turn to two sums of each, or they would wait for one another.
  void products(const T* x, const T* dz, int64_t rows, T* sum) const {
    const int64_t taps = z.kh * z.kw, passes = (taps + kTaps - 1) / kTaps, step = (taps + passes - 1) / passes;
    for (int64_t t = 0; t < taps; t += step)
      with_count<kTaps>(taps - t < step ? taps - t : step, [&](auto count) {
        constexpr int P = count;
        Vec<T> acc[2][P];
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) {
          acc[0][p] = Vec<T>::load(sum + (t + p) * N);
          acc[1][p] = Vec<T>(0);
        }
        const int64_t pixel = z.stride_w * N;
        for (int64_t r = 0; r < rows; ++r) {
          const T *d = dz + r * z.ow * N, *from[P];
#pragma GCC unroll 16
          for (int p = 0; p < P; ++p) {
            const int64_t ky = (t + p) / z.kw, kx = (t + p) % z.kw;
            from[p] = x + ((r * z.stride_h + ky * z.dilation_h) * width() + kx * z.dilation_w) * N;
          }
          const auto add = [&](int64_t q, Vec<T>(&to)[P]) {
            const Vec<T> g = Vec<T>::load(d + q * N);
#pragma GCC unroll 16
            for (int p = 0; p < P; ++p) to[p] = fma(g, Vec<T>::load(from[p] + q * pixel), to[p]);
          };
          int64_t q = 0;
          for (; q + 2 <= z.ow; q += 2) {
            add(q, acc[0]);
            add(q + 1, acc[1]);
          }
          if (q < z.ow) add(q, acc[0]);
        }
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) (acc[0][p] + acc[1][p]).store(sum + (t + p) * N);
      });
  }

  const Conv2dBwdArgs<T>& a;
  const ConvShape& z;
  const int64_t cg, og, blocks;
  int64_t strip_;  // output rows worked on together
};

}  // namespace fnn::FNN_ISA
