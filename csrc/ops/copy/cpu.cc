#include "core/dtype.h"
#include "ops/copy/args.h"
#include "tile/pack.h"
#include "tile/strided.h"

namespace fnn::FNN_ISA {

constexpr int64_t kGrain = 32768;

template <size_t bytes>
struct RealOf;  // a type to move numbers of that size in
template <>
struct RealOf<4> {
  using type = float;
};
template <>
struct RealOf<8> {
  using type = double;
};

// Copies where y runs along the last dimension and x along dimension d: in bands, which use
// all of every line they touch.
template <class T>
void transposed_copy(Stream& s, const CopyArgs<T>& a, int d) {
  constexpr int64_t kBand = 16;
  const StridedShape<2>& z = a.shape;
  const int last = z.ndim - 1;
  const int64_t rows = z.size[d], columns = z.size[last], sy = z.stride[0][d], sx = z.stride[1][last];
  const int64_t bands = (rows + kBand - 1) / kBand, planes = z.numel() / (rows * columns);
  parallel_for(s, planes * bands, 16384 / (kBand * columns) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      int64_t plane = task / bands;
      const int64_t first = task % bands * kBand, limit = first + kBand < rows ? first + kBand : rows;
      T* y = a.y;
      const T* x = a.x;
      for (int k = last - 1; k >= 0; --k) {
        if (k == d) continue;
        y += plane % z.size[k] * z.stride[0][k];
        x += plane % z.size[k] * z.stride[1][k];
        plane /= z.size[k];
      }
      y += first * sy;
      x += first;
      if constexpr (sizeof(T) >= 4) {
        using Real = typename RealOf<sizeof(T)>::type;
        transpose_block(reinterpret_cast<const Real*>(x), sx, columns, limit - first, reinterpret_cast<Real*>(y), sy);
      } else {
        for (int64_t i = 0; i < limit - first; ++i)
          for (int64_t j = 0; j < columns; ++j) y[i * sy + j] = x[i + j * sx];
      }
    }
  });
}

template <class T>
void strided_copy(Stream& s, const CopyArgs<T>& a) {
  const int last = a.shape.ndim - 1;
  const int64_t sy = a.shape.stride[0][last], sx = a.shape.stride[1][last];
  for (int d = 0; d < last && sy == 1 && sx > 1; ++d)
    if (a.shape.stride[1][d] == 1) return transposed_copy(s, a, d);
  for_each_row(s, a.shape, [&](const int64_t* offset, int64_t n) {
    T* y = a.y + offset[0];
    const T* x = a.x + offset[1];
    if (sy == 1 && sx == 1) {
      copy_out(y, x, n, a.shape.numel());
    } else if (sy == 1 && sx == 0) {
      const T value = *x;
      for (int64_t i = 0; i < n; ++i) y[i] = value;
    } else {
      for (int64_t i = 0; i < n; ++i) y[i * sy] = x[i * sx];
    }
  });
}

template <class To, class From>
void cast_to(Stream& s, const CastArgs<From>& a) {
  To* y = static_cast<To*>(a.y);
  parallel_for(s, a.n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = static_cast<To>(a.x[i]);
  });
}

template <class From>
void cast(Stream& s, const CastArgs<From>& a) {
  visit_all(a.to, [&]<class To>() { cast_to<To>(s, a); });
}

template <class T>
void fill(Stream& s, const FillArgs<T>& a) {
  constexpr int64_t kBlock = 1024;
  T block[kBlock];
  const bool large = streams(a.x, a.n);
  for (int64_t i = 0; large && i < kBlock; ++i) block[i] = a.value;
  parallel_for(s, a.n, kGrain, [&](int64_t begin, int64_t end) {
    if (!large)
      for (int64_t i = begin; i < end; ++i) a.x[i] = a.value;
    else
      for (int64_t i = begin; i < end; i += kBlock) copy_out(a.x + i, block, end - i < kBlock ? end - i : kBlock, a.n);
  });
}

#include "isa/instantiate.h"
#include "ops/copy/kernels.inc"

}  // namespace fnn::FNN_ISA
