// Activation and 2 x 2 max-pooling of a convolution while its rows are in the cache, and
// the way back.
#pragma once

#include "ops/conv2d/args.h"
#include "ops/pool/cells.h"
#include "ops/unary/tile.h"

namespace fnn::FNN_ISA {

// f(act) for the tail's activation; the identity where there is none.
struct Identity {
  template <class V>
  static FNN_INLINE V value(V x, V, V) {
    return x;
  }
  template <class V>
  static FNN_INLINE V slope(V, V, V) {
    return V(1);
  }
};
template <class F>
FNN_INLINE void with_tail_activation(const ConvTail& tail, const F& f) {
  if (!tail.has_activation) return f(Identity{});
  with_fusible(tail.activation, f);
}

// z: n values, in place.
template <class T>
void activate(const ConvTail& tail, T* z, int64_t n) {
  const Vec<T> none(0);
  with_fusible(tail.activation,
               [&](auto f) { for_vec<T>(0, n, [&](auto at) { at.store(z, f.value(at.load(z), none, none)); }); });
}

// Two rows z (2, ow, o) to one of y and cell (ow / 2, o), for `pixels` = ow / 2 outputs.
template <class T>
void pool_rows(const ConvTail& tail, const T* z, int64_t row, int64_t pixels, int64_t o, T* y, uint8_t* cell) {
  using Mask = typename Vec<T>::Mask;
  const Vec<T> none(0);
  with_tail_activation(tail, [&](auto f) {
    for (int64_t q = 0; q < pixels; ++q)
      for_vec<T>(0, o, [&](auto at) {
        const T* p = z + 2 * q * o;
        Vec<T> best = f.value(at.load(p), none, none);
        Mask cells = {};
        int number = 0;
        const T* const others[] = {p + o, p + row, p + row + o};
        for (const T* other : others) keep_larger(f.value(at.load(other), none, none), Mask{} + ++number, best, cells);
        at.store(y + q * o, best);
        store_cells<T>(at, cell + q * o, cells);
      });
  });
}

// The gradient of rows [begin, end) of z (oh, ow, o) of image n, from that of y; begin is even,
// and end is even or oh.
template <class T>
void expand_gradient(const Conv2dBwdArgs<T>& a, int64_t n, int64_t begin, int64_t end, T* dz) {
  using Mask = typename Vec<T>::Mask;
  const ConvShape& s = a.s;
  const int64_t o = s.o, row = s.ow * o;
  const Vec<T> none(0);
  with_tail_activation(a.tail, [&](auto f) {
    if (!a.tail.pool)
      return for_vec<T>(0, (end - begin) * row, [&](auto at) {
        const int64_t i = (n * s.oh + begin) * row;
        at.store(dz, at.load(a.dy + i) * f.slope(at.load(a.y + i), none, none));
      });
    const int64_t ph = s.oh / 2, pw = s.ow / 2;
    dz -= begin * row;
    for (int64_t y = begin / 2; y < end / 2; ++y) {
      for (int64_t q = 0; q < pw; ++q) {
        const int64_t i = ((n * ph + y) * pw + q) * o;
        T* to = dz + (2 * y * s.ow + 2 * q) * o;
        for_vec<T>(0, o, [&](auto at) {
          Vec<T> g = at.load(a.dy + i);
          if (a.tail.has_activation) g = g * f.slope(at.load(a.y + i), none, none);
          const Mask cells = load_cells<T>(at, a.cell + i);
          int number = 0;
          T* const all[] = {to, to + o, to + row, to + row + o};
          for (T* cell : all) at.store(cell, select(cells == Mask{} + number++, g, none));
        });
      }
      for (int64_t r = 0; r < 2 && s.ow % 2; ++r)
        for (int64_t i = 0; i < o; ++i) dz[((2 * y + r) * s.ow + s.ow - 1) * o + i] = T(0);
    }
    for (int64_t i = end / 2 * 2 * row; i < end * row; ++i) dz[i] = T(0);
  });
}

}  // namespace fnn::FNN_ISA
