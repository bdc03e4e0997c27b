// Where a convolution reads what it adds up. Forward and the gradient of the input are one
// loop: each output gathers inputs through the taps of the kernel that meet it.
#pragma once

#include "cuda/kernel.cuh"
#include "ops/conv2d/args.h"

namespace fnn::cuda {

// Division by a number known before the kernel starts, of numbers below 2^31: Granlund and
// Montgomery, "Division by invariant integers using multiplication", PLDI 1994.
class Divisor {
 public:
  FNN_INLINE explicit Divisor(int64_t by) : by_(static_cast<uint32_t>(by > 1 ? by : 1)), shift_(0) {
    while ((uint64_t{1} << shift_) < by_) ++shift_;
    factor_ = static_cast<uint32_t>((((uint64_t{1} << shift_) - by_) << 32) / by_ + 1);
  }
  __device__ int operator()(int n) const {
    const uint32_t high = static_cast<uint32_t>((uint64_t{static_cast<uint32_t>(n)} * factor_) >> 32);
    return static_cast<int>((high + static_cast<uint32_t>(n)) >> shift_);
  }
  __device__ int by() const { return static_cast<int>(by_); }

 private:
  uint32_t by_, shift_, factor_;
};

// One axis of a convolution, as forward sees it.
struct Axis {
  int in, out, taps, stride, dilation, pad;
  int period;  // taps that meet the same input pixels are so far apart: stride / gcd(stride, dilation)

  Axis(int64_t in_, int64_t out_, int64_t taps_, int64_t stride_, int64_t dilation_, int64_t pad_)
      : in(static_cast<int>(in_)),
        out(static_cast<int>(out_)),
        taps(static_cast<int>(taps_)),
        stride(out_ > 1 ? static_cast<int>(stride_) : 1),  // of one output, or one tap, it says nothing
        dilation(taps_ > 1 ? static_cast<int>(dilation_) : 1),
        pad(static_cast<int>(pad_)),
        period(stride) {
    int a = stride, b = dilation;
    while (b) {
      const int rest = a % b;
      a = b, b = rest;
    }
    period = stride / a;
  }
};

inline Axis axis_y(const ConvShape& s) { return {s.h, s.oh, s.kh, s.stride_h, s.dilation_h, s.top}; }
inline Axis axis_x(const ConvShape& s) { return {s.w, s.ow, s.kw, s.stride_w, s.dilation_w, s.left}; }

// One axis of a gather: place i of `places`, which is the output first + i every, meets through
// its j-th tap, number tap + j tap_every, the input offset + i stride + j step.
struct Sight {
  int first, every, places;
  int tap, tap_every, taps;
  int offset, stride, step;
};

// Backward, the inputs of a stride's phase are those that the same taps meet.
FNN_INLINE Sight sight(const Axis& a, bool backward, int phase) {
  if (!backward) return {0, 1, a.out, 0, 1, a.taps, -a.pad, a.stride, a.dilation};
  int tap = 0;
  while (tap < a.taps && (phase + a.pad - tap * a.dilation) % a.stride != 0) ++tap;
  const int places = (a.in - phase + a.stride - 1) / a.stride, taps = (a.taps - tap + a.period - 1) / a.period;
  const int offset = (phase + a.pad - tap * a.dilation) / a.stride;
  return {phase, a.stride, places, tap, a.period, taps, offset, 1, -(a.period * a.dilation / a.stride)};
}

// From x to z, or from dz to dx.
struct Gather {
  bool backward;
  Axis y, x;
  int64_t n;
  int groups, from, to;  // channels of a group that are read, that are written

  Gather(const ConvShape& s, bool backward_)
      : backward(backward_),
        y(axis_y(s)),
        x(axis_x(s)),
        n(s.n),
        groups(static_cast<int>(s.groups)),
        from(static_cast<int>((backward ? s.o : s.c) / s.groups)),
        to(static_cast<int>((backward ? s.c : s.o) / s.groups)) {}

  FNN_INLINE int phases_y() const { return !backward ? 1 : y.stride < y.in ? y.stride : y.in; }
  FNN_INLINE int phases_x() const { return !backward ? 1 : x.stride < x.in ? x.stride : x.in; }
  // Of the first phase, which has the most.
  int places_y() const { return !backward ? y.out : static_cast<int>(div_up(y.in, y.stride)); }
  int places_x() const { return !backward ? x.out : static_cast<int>(div_up(x.in, x.stride)); }
  FNN_INLINE int taps() const { return y.taps * x.taps; }
  FNN_INLINE int channels() const { return groups * to; }
  int64_t weights() const { return int64_t{channels()} * from * taps(); }
};

// The weight that takes channel i of a group of the inputs to channel `to` of all outputs.
template <class T>
struct Weights {
  const T* w;  // (o, c / groups, kh, kw) in the strides `stride`
  int64_t stride[4];
  int kw, from, to;
  bool backward;

  Weights(const T* w_, const ConvShape& s, const Gather& g)
      : w(w_), stride{s.ws[0], s.ws[1], s.ws[2], s.ws[3]}, kw(g.x.taps), from(g.from), to(g.to), backward(g.backward) {}

  __device__ T operator()(int channel, int tap, int i) const {
    const int64_t o = backward ? int64_t{channel / to} * from + i : channel, c = backward ? channel % to : i;
    return w[o * stride[0] + c * stride[1] + tap / kw * stride[2] + tap % kw * stride[3]];
  }
};

// All of them in the order (taps, from, channels).
template <class T>
T* pack_weights(Stream& s, const Gather& g, const Weights<T>& w) {
  T* packed = static_cast<T*>(workspace(s, g.weights() * sizeof(T)));
  const int channels = g.channels(), from = g.from;
  for_each(s, g.weights(), [=] __device__(int64_t i) {
    const int64_t source = i / channels;
    packed[i] = w(static_cast<int>(i % channels), static_cast<int>(source / from), static_cast<int>(source % from));
  });
  return packed;
}

// Pixels of channels-last maps, zeros around them. at() finds a pixel, load() N of its channels.
template <class T>
struct Map {
  using Pixel = const T*;
  const T* p;  // (n, height, width, channels)
  int height, width;
  int64_t channels;

  __device__ Pixel at(int64_t n, int y, int x) const {
    const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(height) &&
                        static_cast<unsigned>(x) < static_cast<unsigned>(width);
    return inside ? p + ((n * height + y) * width + x) * channels : nullptr;
  }
  template <int N>
  __device__ Pack<T, N> load(Pixel pixel, int channel) const {
    return pixel ? *reinterpret_cast<const Pack<T, N>*>(pixel + channel) : Pack<T, N>(0);
  }
  bool in_packs() const { return channels % Pack<T>::N == 0 && reinterpret_cast<uintptr_t>(p) % sizeof(Pack<T>) == 0; }
};

}  // namespace fnn::cuda
