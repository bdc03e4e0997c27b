// The gradient of a convolution's input, image by image. Three ways, chosen by their work.
// Gathering slides a turned kernel over dy: no additions to memory, but windows that reach
// over dy's border multiply zeros. Its vectors are of input channels or, where these are
// few, of a window's numbers. Scattering multiplies each pixel of dy by the whole kernel
// and adds the pieces into dx.
#pragma once

#include "core/stream.h"
#include "ops/conv2d/narrow.h"

namespace fnn::FNN_ISA {

// Along one axis: the inputs i = phase + stride t see the kernel positions k for which
// (i + pad - k dilation) is a multiple of the stride, and then the output t + shift(k).
struct Phase {
  int64_t phase, stride, dilation, pad, kernel;
  FNN_INLINE bool sees(int64_t k) const { return (phase + pad - k * dilation) % stride == 0; }
  FNN_INLINE int64_t shift(int64_t k) const { return (phase + pad - k * dilation) / stride; }
  FNN_INLINE int64_t inputs(int64_t size) const { return (size - phase + stride - 1) / stride; }
  FNN_INLINE int64_t count() const {
    int64_t n = 0;
    for (int64_t k = 0; k < kernel; ++k) n += sees(k);
    return n;
  }
};

// How far the outputs that any phase sees reach before 0 and beyond size - 1.
FNN_INLINE void reach(int64_t inputs, int64_t outputs, Phase p, int64_t& before, int64_t& after) {
  before = after = 0;
  for (p.phase = 0; p.phase < p.stride; ++p.phase)
    for (int64_t k = 0; k < p.kernel; ++k) {
      if (!p.sees(k) || p.inputs(inputs) <= 0) continue;
      const int64_t first = p.shift(k), last = first + p.inputs(inputs) - 1;
      if (-first > before) before = -first;
      if (last - (outputs - 1) > after) after = last - (outputs - 1);
    }
}

template <class T>
class DataGradient {
 public:
  explicit DataGradient(const Conv2dBwdArgs<T>& a) : a(a), z(a.s), cg(z.c / z.groups), og(z.o / z.groups) {
    // Multiply-adds of one image, over taps; a piece costs about as much as 8 of them to add,
    // and the sum of a vector as much as 4 of vectors.
    const auto whole = [](int64_t numbers) { return whole_vectors<T>(numbers); };
    const int64_t inputs = z.h * z.w, taps = z.kh * z.kw, step = z.stride_h * z.stride_w;
    const int64_t run = runs() ? (z.kw + z.stride_w - 1) / z.stride_w : 1;  // taps that are neighbours in dy
    const int64_t wide = inputs * og * whole(cg) * taps / step;
    const int64_t narrow = inputs * cg * (taps * whole(run * og) / (run * step) + 4 * Vec<T>::N);
    const int64_t scatter = z.oh * z.ow * (og + 8) * whole(cg * taps);
    narrow_ = narrow < wide;
    gathers_ = (narrow_ ? narrow : wide) <= scatter;
    reach(z.h, z.oh, vertical(0), top_, bottom_);
    reach(z.w, z.ow, horizontal(0), left_, right_);
  }

  // What prepare() fills: the packed kernel and the offsets of its taps.
  int64_t packed_elements() const {
    return z.groups * (gathers_ ? phase_size(z.kh * z.kw) : packed_size<T>(og, z.kh * z.kw * cg)) +
           z.kh * z.kw * static_cast<int64_t>(sizeof(int64_t) / sizeof(T));
  }
  // What image() needs for itself.
  int64_t scratch_elements() const {
    if (!gathers_) return scattered_pixels() * z.kh * z.kw * cg;
    return padded() ? height() * width() * z.o : 0;
  }

  void prepare(Stream& s, T* packed) {
    packed_ = packed;
    gathers_ ? prepare_gather(s) : prepare_scatter(s);
  }
  // dx of one image from its dz (oh, ow, o).
  void image(const T* dz, T* dx, T* scratch) const { gathers_ ? gather(dz, dx, scratch) : scatter(dz, dx, scratch); }

 private:
  // Pixels of dz that are scattered at once: two tiles, if their pieces stay in the first-level cache.
  int64_t scattered_pixels() const {
    constexpr int64_t kPieces = (24 << 10) / static_cast<int64_t>(sizeof(T));
    const int64_t tile = even_rows(z.oh * z.ow), pair = 2 * tile * z.kh * z.kw * cg <= kPieces ? 2 * tile : tile;
    return z.oh * z.ow < pair ? z.oh * z.ow : pair;
  }
  Phase vertical(int64_t phase) const { return {phase, z.stride_h, z.dilation_h, z.top, z.kh}; }
  Phase horizontal(int64_t phase) const { return {phase, z.stride_w, z.dilation_w, z.left, z.kw}; }
  int64_t width() const { return left_ + z.ow + right_; }
  int64_t height() const { return top_ + z.oh + bottom_; }
  bool padded() const { return top_ || bottom_ || left_ || right_; }
  bool runs() const { return z.groups == 1 && z.stride_w % z.dilation_w == 0; }  // taps read neighbouring pixels

  // f(vertical, horizontal, taps before this phase) for every phase that has inputs.
  template <class F>
  void each_phase(const F& f) const {
    int64_t taps = 0;
    for (int64_t y = 0; y < z.stride_h; ++y)
      for (int64_t x = 0; x < z.stride_w; ++x) {
        const Phase v = vertical(y), h = horizontal(x);
        if (v.inputs(z.h) <= 0 || h.inputs(z.w) <= 0) continue;
        f(v, h, taps);
        taps += v.count() * h.count();
      }
  }

  // Of a group's packed kernel, for some taps.
  int64_t phase_size(int64_t taps) const {
    return narrow_ ? taps * whole_vectors<T>(og) * cg : packed_size<T>(taps * og, cg);
  }
  T* phase_kernel(int64_t g, int64_t taps_before) const {
    return packed_ + g * phase_size(z.kh * z.kw) + phase_size(taps_before);
  }
  int64_t* offsets() const { return reinterpret_cast<int64_t*>(phase_kernel(z.groups, 0)); }
  Segments windows(Phase v, Phase h, int64_t taps_before) const {
    const bool joined = runs() && h.count() > 0;
    return {offsets() + taps_before, joined ? v.count() : v.count() * h.count(), joined ? h.count() * og : og};
  }

  // f(ky, kx, number) for the taps that a phase sees, kx from the last to the first, so that
  // the runs over dz ascend.
  template <class F>
  void each_tap(Phase v, Phase h, const F& f) const {
    int64_t tap = 0;
    for (int64_t ky = 0; ky < z.kh; ++ky)
      for (int64_t kx = z.kw - 1; v.sees(ky) && kx >= 0; --kx)
        if (h.sees(kx)) f(ky, kx, tap++);
  }

  // Each phase is a stride-1 convolution over dz with its part of the kernel, turned round.
  void prepare_gather(Stream& s) {
    each_phase([&](Phase v, Phase h, int64_t before) {
      const int64_t run = runs() && h.count() > 0 ? h.count() : 1;
      each_tap(v, h, [&](int64_t ky, int64_t kx, int64_t tap) {
        if (tap % run == 0)
          offsets()[before + tap / run] = ((v.shift(ky) + top_) * width() + h.shift(kx) + left_) * z.o;
      });
    });
    parallel_for(s, z.groups * og, 8192 / (z.kh * z.kw * cg + 1) + 1, [&](int64_t begin, int64_t end) {
      each_phase([&](Phase v, Phase h, int64_t before) {
        const Segments k = windows(v, h, before);
        each_tap(v, h, [&](int64_t ky, int64_t kx, int64_t tap) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t at = tap * og + i % og;
            const T* w = a.w + i * z.ws[0] + ky * z.ws[2] + kx * z.ws[3];
            T* kernel = phase_kernel(i / og, before);
            narrow_ ? pack_narrow(w, z.ws[1], cg, k, at, kernel)
                    : pack_row(w, z.ws[1], cg, k.count * k.length, at, kernel);
          }
        });
      });
    });
  }

  void gather(const T* dz, T* dx, T* scratch) const {
    if (padded()) {
      pad_rows(dz, z.oh, z.ow, z.o, -top_, z.oh + bottom_, left_, right_, scratch);
      dz = scratch;
    }
    each_phase([&](Phase v, Phase h, int64_t before) {
      for (int64_t g = 0; g < z.groups; ++g) {
        const Slide<T> part{dz + g * og,
                            width() * z.o,
                            z.o,
                            windows(v, h, before),
                            phase_kernel(g, before),
                            nullptr,
                            dx + (v.phase * z.w + h.phase) * z.c + g * cg,
                            z.stride_h * z.w * z.c,
                            z.stride_w * z.c,
                            v.inputs(z.h),
                            h.inputs(z.w),
                            cg};
        narrow_ ? slide_narrow(part) : slide(part);
      }
    });
  }

  // B (og, taps cg) of each group: column (tap, c) of row o is w[o, c, tap].
  void prepare_scatter(Stream& s) {
    constexpr int W = kTileCols<T>;
    const int64_t columns = z.kh * z.kw * cg, group_size = packed_size<T>(og, columns);
    const int64_t panels = (columns + W - 1) / W;
    parallel_for(s, z.groups * panels, 8192 / (og * W) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t g = i / panels, p = i % panels * W, count = columns - p < W ? columns - p : W;
        const T* of_column[W];
        for (int64_t j = 0; j < count; ++j) {
          const int64_t tap = (p + j) / cg, c = (p + j) % cg;
          of_column[j] = a.w + g * og * z.ws[0] + c * z.ws[1] + tap / z.kw * z.ws[2] + tap % z.kw * z.ws[3];
        }
        T* row = packed_ + g * group_size + p * og;
        for (int64_t o = 0; o < og; ++o, row += W) {
          for (int64_t j = 0; j < count; ++j) row[j] = of_column[j][o * z.ws[0]];
          for (int64_t j = count; j < W; ++j) row[j] = T(0);
        }
      }
    });
  }

  void scatter(const T* dz, T* dx, T* pieces) const {
    constexpr int W = kTileCols<T>;
    const int64_t columns = z.kh * z.kw * cg, group_size = packed_size<T>(og, columns), pixels = z.oh * z.ow;
    const int64_t some = scattered_pixels();
    const int step = even_rows(some);
    const bool whole_rows = z.groups == 1 && z.dilation_w == 1 && z.left == 0 && z.right == 0;
    const int64_t zero = 0;
    for (int64_t i = 0; i < z.h * z.w * z.c; ++i) dx[i] = T(0);
    for (int64_t g = 0; g < z.groups; ++g)
      for (int64_t q = 0; q < pixels; q += some) {
        const int64_t count = pixels - q < some ? pixels - q : some;
        Tile<T> t;
        t.lda = z.o;
        t.a_step = step * z.o;
        t.layout = ALayout::rows;
        t.k = {&zero, 1, og};
        t.ldb = W;
        t.ldc = columns;
        t.c_step = step * columns;
        t.accumulate = false;
        t.b_padded = true;
        t.bias = nullptr;
        for (int64_t p = 0; p < columns; p += W) {
          t.a = dz + q * z.o + g * og;
          t.b = packed_ + g * group_size + p * og;
          t.c = pieces + p;
          t.cols = static_cast<int>(columns - p < W ? columns - p : W);
          run_tiles(t, count, step);
        }
        for (int64_t i = 0; i < count; ++i) {
          const int64_t oy = (q + i) / z.ow, ix = (q + i) % z.ow * z.stride_w - z.left;
          for (int64_t ky = 0; ky < z.kh; ++ky) {
            const int64_t iy = oy * z.stride_h - z.top + ky * z.dilation_h;
            if (iy < 0 || iy >= z.h) continue;
            const T* from = pieces + i * columns + ky * z.kw * cg;
            T* to = dx + (iy * z.w + ix) * z.c + g * cg;
            const auto add = [](T* y, const T* x, int64_t n) {
              for_vec<T>(0, n, [&](auto at) { at.store(y, at.load(y) + at.load(x)); });
            };
            if (whole_rows) {
              add(to, from, z.kw * z.c);
              continue;
            }
            for (int64_t kx = 0; kx < z.kw; ++kx)
              if (const int64_t x = ix + kx * z.dilation_w; x >= 0 && x < z.w)
                add(to + kx * z.dilation_w * z.c, from + kx * cg, cg);
          }
        }
      }
  }

  const Conv2dBwdArgs<T>& a;
  const ConvShape& z;
  const int64_t cg, og;
  bool gathers_, narrow_;
  int64_t top_, bottom_, left_, right_;  // of dz, where windows reach over it
  T* packed_ = nullptr;
};

}  // namespace fnn::FNN_ISA
