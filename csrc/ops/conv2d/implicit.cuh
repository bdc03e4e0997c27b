// Convolution as a product of matrices that are never made: loaders find in the maps what the
// tiles of tile/gemm.cuh hold. Forward and the gradient of the input multiply (places, taps x
// inputs) with (taps x inputs, outputs), that of the weight (taps x inputs, pixels) with
// (pixels, outputs). The groups are a batch.
#pragma once

#include "ops/conv2d/tail.cuh"
#include "tile/gemm.cuh"

namespace fnn::cuda {

// The product of one phase of a gather. Rows are places, the four of a pooled output one after
// another; columns are channels of what the taps meet.
struct GatherProduct {
  struct Place {
    int64_t n;
    int y, x;
  };
  struct Column {
    int ty, tx, channel;
  };

  Gather g;
  Sight y, x;
  bool pool;
  Divisor by_channel, by_tap;

  GatherProduct(const Gather& g_, int phase_y, int phase_x, bool pool_)
      : g(g_),
        y(sight(g.y, g.backward, phase_y)),
        x(sight(g.x, g.backward, phase_x)),
        pool(pool_),
        by_channel(g.from),
        by_tap(x.taps) {}

  int64_t all_rows() const { return g.n * y.places * x.places; }
  int64_t rows() const { return pool ? g.n * (y.places / 2) * (x.places / 2) * 4 : all_rows(); }
  int64_t columns() const { return int64_t{y.taps} * x.taps * g.from; }

  __device__ Place place(int64_t row) const {
    const int side = pool ? 2 : 1, cell = pool ? static_cast<int>(row % 4) : 0;
    const unsigned height = y.places / side, width = x.places / side;
    const uint64_t i = pool ? row / 4 : row, line = i / width;
    return {static_cast<int64_t>(line / height), static_cast<int>(line % height) * side + cell / 2,
            static_cast<int>(i % width) * side + cell % 2};
  }
  __device__ Column column(int64_t k) const {
    const int tap = by_channel(static_cast<int>(k)), ty = by_tap(tap);
    return {ty, tap - ty * x.taps, static_cast<int>(k) - tap * g.from};
  }
};

// A pixel as a tap sees it: where the tap is, and where the pixel is.
struct TapAt {
  int y, x, channel;
};
template <class T>
struct PixelAt {
  const T* image;
  int y, x;
};
template <class T>
__device__ const T* meet(const Map<T>& map, const PixelAt<T>& pixel, const TapAt& tap) {
  const int y = pixel.y + tap.y, x = pixel.x + tap.x;
  const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(map.height) &&
                      static_cast<unsigned>(x) < static_cast<unsigned>(map.width);
  return inside ? pixel.image + (y * map.width + x) * map.channels + tap.channel : nullptr;
}

// (places, taps x inputs) of the map that is read.
template <class T>
struct Gathered {
  static constexpr bool kAlongK = true;
  using Line = PixelAt<T>;
  using Depth = TapAt;
  GatherProduct of;
  Map<T> in;
  bool packs;

  Gathered(const GatherProduct& of_, const Map<T>& in_)
      : of(of_), in(in_), packs(in.in_packs() && of.g.from % Pack<T>::N == 0) {}

  __device__ bool vectors() const { return packs; }
  __device__ Line line(int64_t group, int64_t row) const {
    const auto at = of.place(row);
    return {in.p + at.n * in.height * in.width * in.channels + group * of.g.from, of.y.offset + at.y * of.y.stride,
            of.x.offset + at.x * of.x.stride};
  }
  __device__ Depth depth(int64_t k) const {
    const auto at = of.column(k);
    return {at.ty * of.y.step, at.tx * of.x.step, at.channel};
  }
  __device__ const T* at(const Line& line, const Depth& depth) const { return meet(in, line, depth); }
};

// (taps x inputs, outputs) of the weights: output n of a group, for channel i of a tap, lies at
// group stride_group + tap stride_tap + i stride_i + n.
template <class T>
struct Factors {
  static constexpr bool kAlongK = false;
  using Line = int64_t;
  using Depth = int64_t;
  GatherProduct of;
  const T* w;
  int64_t stride_group, stride_tap, stride_i;

  __device__ bool vectors() const {
    constexpr int N = Pack<T>::N;
    return of.g.to % N == 0 && stride_group % N == 0 && stride_tap % N == 0 && stride_i % N == 0 &&
           reinterpret_cast<uintptr_t>(w) % sizeof(Pack<T>) == 0;
  }
  __device__ Line line(int64_t group, int64_t n) const { return group * stride_group + n; }
  __device__ Depth depth(int64_t k) const {
    const auto at = of.column(k);
    const int tap = (of.y.tap + at.ty * of.y.tap_every) * of.g.x.taps + of.x.tap + at.tx * of.x.tap_every;
    return tap * stride_tap + at.channel * stride_i;
  }
  __device__ const T* at(Line line, Depth depth) const { return w + depth + line; }
};

template <class T>
struct PackedWeights {
  const T* w;
  int64_t stride_group, stride_tap, stride_i;
};

// As they are where outputs are neighbours and taps in one row, else in the order of pack_weights.
template <class T>
PackedWeights<T> outputs_last(Stream& s, const Gather& g, const Weights<T>& w) {
  const int64_t* at = w.stride;
  if (at[g.backward ? 1 : 0] == 1 && (g.y.taps == 1 || at[2] == g.x.taps * at[3]))
    return {w.w, (g.backward ? g.from : g.to) * at[0], at[3], at[g.backward ? 0 : 1]};
  return {pack_weights(s, g, w), g.to, int64_t{g.from} * g.channels(), g.channels()};
}

template <class T>
struct StorePlaces {
  GatherProduct of;
  Outputs<T> out;
  bool packs;

  StorePlaces(const GatherProduct& of_, const Outputs<T>& out_)
      : of(of_), out(out_), packs(out.in_packs() && of.g.to % Pack<T>::N == 0) {}

  __device__ void operator()(const Piece<T>& p) const {
    constexpr int N = Pack<T>::N;
    const int first = static_cast<int>(p.batch) * of.g.to;
    if (!out.tail.pool)
      return for_packs<N>(p, [&](int64_t row, int64_t col, int n, const Pack<T>& z) {
        const auto to = of.place(row);
        out.store(to.n, of.y.first + to.y * of.y.every, of.x.first + to.x * of.x.every, first + static_cast<int>(col),
                  n, packs, z);
      });
    Piece<T> windows = p;  // one row in four, for the loop
    windows.ld *= 4, windows.row /= 4, windows.rows /= 4;
    for_packs<N>(windows, [&](int64_t window, int64_t col, int n, const Pack<T>&) {
      Pack<T> z[4];
      const T* c = p.c + (window * 4 - p.row) * p.ld + col - p.col;
#pragma unroll
      for (int cell = 0; cell < 4; ++cell) z[cell] = *reinterpret_cast<const Pack<T>*>(c + cell * p.ld);
      const auto to = of.place(window * 4);
      out.store_pooled(to.n, to.y / 2, to.x / 2, first + static_cast<int>(col), n, packs, z);
    });
  }
};

template <class T>
void implicit_gather(Stream& s, const Gather& g, const Map<T>& in, const Weights<T>& weights, const Outputs<T>& out,
                     Precision precision) {
  const PackedWeights<T> w = outputs_last(s, g, weights);
  for (int phase_y = 0; phase_y < g.phases_y(); ++phase_y)
    for (int phase_x = 0; phase_x < g.phases_x(); ++phase_x) {
      const GatherProduct of(g, phase_y, phase_x, out.tail.pool);
      const Factors<T> factors{of, w.w, w.stride_group, w.stride_tap, w.stride_i};
      gemm(s,
           Product<T, Gathered<T>, Factors<T>, StorePlaces<T>>{of.rows(), g.to, of.columns(), g.groups,
                                                               Gathered<T>(of, in), factors, StorePlaces<T>(of, out),
                                                               of.all_rows()},
           precision);
    }
}

// --- the gradient of the weight ---------------------------------------------------------------

// (taps x inputs, pixels).
template <class T>
struct Seen {
  static constexpr bool kAlongK = false;
  using Line = TapAt;
  using Depth = PixelAt<T>;
  Map<T> in;
  Axis y, x;
  int inputs;  // channels of a group
  Divisor by_channel, by_tap, plane, row;
  bool packs;

  Seen(const ConvShape& s, const Map<T>& in_)
      : in(in_),
        y(axis_y(s)),
        x(axis_x(s)),
        inputs(static_cast<int>(s.c / s.groups)),
        by_channel(inputs),
        by_tap(s.kw),
        plane(s.oh * s.ow),
        row(s.ow),
        packs(in.in_packs() && inputs % Pack<T>::N == 0) {}

  __device__ bool vectors() const { return packs; }
  __device__ Line line(int64_t group, int64_t i) const {
    const int tap = by_channel(static_cast<int>(i)), ty = by_tap(tap), tx = tap - ty * x.taps;
    return {ty * y.dilation - y.pad, tx * x.dilation - x.pad, static_cast<int>(group * inputs + i) - tap * inputs};
  }
  __device__ Depth depth(int64_t k) const {
    int64_t n = 0;
    if (k > INT32_MAX) {  // whole images, so that the rest is small
      n = k / plane.by();
      k -= n * plane.by();
    }
    const int images = plane(static_cast<int>(k)), at = static_cast<int>(k) - images * plane.by(), py = row(at);
    return {in.p + (n + images) * in.height * in.width * in.channels, py * y.stride, (at - py * row.by()) * x.stride};
  }
  __device__ const T* at(const Line& line, const Depth& depth) const { return meet(in, depth, line); }
};

// (pixels, outputs) of dz.
template <class T>
struct Given {
  static constexpr bool kAlongK = false;
  using Line = int;
  using Depth = int64_t;
  Map<T> dz;
  int outputs;  // of a group
  bool packs;

  Given(const Map<T>& dz_, int64_t groups)
      : dz(dz_), outputs(static_cast<int>(dz.channels / groups)), packs(dz.in_packs() && outputs % Pack<T>::N == 0) {}

  __device__ bool vectors() const { return packs; }
  __device__ Line line(int64_t group, int64_t n) const { return static_cast<int>(group * outputs + n); }
  __device__ Depth depth(int64_t k) const { return k * dz.channels; }
  __device__ const T* at(Line line, Depth depth) const { return dz.p + depth + line; }
};

template <class T>
struct StoreWeights {
  ConvShape s;
  T* dw;

  __device__ void operator()(const Piece<T>& p) const {
    const int inputs = static_cast<int>(s.c / s.groups), kw = static_cast<int>(s.kw);
    for_packs<Pack<T>::N>(p, [&](int64_t at_row, int64_t col, int n, const Pack<T>& v) {
      const int row = static_cast<int>(at_row), tap = row / inputs, c = row - tap * inputs, ky = tap / kw;
      const int64_t o = p.batch * (s.o / s.groups) + col;
      T* to = dw + o * s.ws[0] + c * s.ws[1] + ky * s.ws[2] + (tap - ky * kw) * s.ws[3];
      for (int j = 0; j < Pack<T>::N; ++j, to += s.ws[0])
        if (j < n) *to = v.v[j];
    });
  }
};

template <class T>
void implicit_weight_gradient(Stream& s, const ConvShape& z, const Map<T>& in, const Map<T>& dz, T* dw,
                              Precision precision) {
  gemm(s,
       Product<T, Seen<T>, Given<T>, StoreWeights<T>>{z.kh * z.kw * (z.c / z.groups), z.o / z.groups, z.n * z.oh * z.ow,
                                                      z.groups, Seen<T>(z, in), Given<T>(dz, z.groups),
                                                      StoreWeights<T>{z, dw}},
       precision);
}

}  // namespace fnn::cuda
