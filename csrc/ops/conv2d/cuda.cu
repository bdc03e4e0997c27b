// Convolution on channels-last maps: always direct, as products of implicit matrices or, where
// those would be mostly empty, thread by thread.
#include <type_traits>

#include "cuda/fold.cuh"
#include "ops/conv2d/direct.cuh"
#include "ops/conv2d/implicit.cuh"
#include "ops/conv2d/thin_weights.cuh"

namespace fnn::cuda {
namespace {

template <class T>
Map<T> inputs(const ConvShape& s, const T* x) {
  return {x, static_cast<int>(s.h), static_cast<int>(s.w), s.c};
}

// dz pack by pack, on the way to the sums of its columns or not; written to `dz` unless that is null.
template <class T>
struct MakeGradient {
  Gradient<T> kept;
  T* dz;
  bool packs;

  template <class At>
  __device__ Vec<T> operator()(const At& at) const {
    Vec<T> v;
    if (kept.tail.pool) {
      if (packs)
        v = load<Vec<T>::N>(at.i);
      else
        for (int j = 0; j < Vec<T>::N; ++j) v.v[j] = j < at.count() ? load<1>(at.i + j).v[0] : T(0);
    } else {
      v = at.load(kept.dy);
      if (kept.tail.has_activation) v = v * slope(kept.tail, at.load(kept.y));
    }
    if (dz) at.store(dz, v);
    return v;
  }

 private:
  template <int N>
  __device__ Pack<T, N> load(uint64_t i) const {
    const uint64_t pixel = i / kept.channels, width = kept.width, height = kept.height, row = pixel / width;
    return kept.template load<N>(kept.at(row / height, static_cast<int>(row % height), static_cast<int>(pixel % width)),
                                 static_cast<int>(i % kept.channels));
  }
};

// dx and dw. Dz is a Map, or a Gradient where no product reads it.
template <class T, class Dz>
void backward(Stream& s, const Conv2dBwdArgs<T>& a, const Gather& g, const Dz& dz) {
  constexpr bool kProducts = std::is_same_v<Dz, Map<T>>;
  if (a.dx) {
    const Weights<T> w(a.w, a.s, g);
    const Outputs<T> out{a.dx, nullptr, nullptr, {}, g.y.in, g.x.in, a.s.c};
    if (direct_pays<T>(g))
      direct(s, g, dz, w, out);
    else if constexpr (kProducts)
      implicit_gather(s, g, dz, w, out, a.precision);
  }
  if (a.dw) {
    if (thin_weight_pays(a.s))
      thin_weight_gradient(s, a.s, inputs(a.s, a.x), dz, a.dw);
    else if constexpr (kProducts)
      implicit_weight_gradient(s, a.s, inputs(a.s, a.x), dz, a.dw, a.precision);
  }
}

}  // namespace

template <class T>
void conv2d_fwd(Stream& s, const Conv2dFwdArgs<T>& a) {
  const Gather g(a.s, false);
  const Weights<T> w(a.w, a.s, g);
  const Map<T> x = inputs(a.s, a.x);
  const Outputs<T> out{a.y, a.cell, a.b, a.tail, g.y.out, g.x.out, a.s.o};
  direct_pays<T>(g) ? direct(s, g, x, w, out) : implicit_gather(s, g, x, w, out, a.precision);
}

// Products read dz as it would be without a tail: it is written out for them, and db summed on the way.
template <class T>
void conv2d_bwd(Stream& s, const Conv2dBwdArgs<T>& a) {
  const Gather g(a.s, true);
  const Gradient<T> kept(a);
  const bool products = (a.dx && !direct_pays<T>(g)) || (a.dw && !thin_weight_pays(a.s));
  const bool written = products && !a.tail.empty();
  T* dz = written ? static_cast<T*>(workspace(s, a.s.outputs() * sizeof(T))) : nullptr;
  const MakeGradient<T> make{kept, dz, kept.in_packs()};
  if (a.db)
    column_sums<T>(s, a.s.n * a.s.oh * a.s.ow, a.s.o, make, ScaledSum<T>{a.db, T(1)});
  else if (written)
    for_packs<T>(s, a.s.outputs(), make);
  if (written || a.tail.empty())
    backward(s, a, g, Map<T>{written ? dz : a.dy, kept.height, kept.width, kept.channels});
  else
    backward(s, a, g, kept);
}

#include "isa/instantiate.h"
#include "ops/conv2d/kernels.inc"

}  // namespace fnn::cuda
