#include "core/dtype.h"
#include "ops/copy/args.h"
#include "tile/strided.h"

namespace fnn::FNN_ISA {

constexpr int64_t kGrain = 32768;

template <class T>
void strided_copy(Stream& s, const CopyArgs<T>& a) {
  const int last = a.shape.ndim - 1;
  const int64_t sy = a.shape.stride[0][last], sx = a.shape.stride[1][last];
  for_each_row(s, a.shape, [&](const int64_t* offset, int64_t n) {
    T* y = a.y + offset[0];
    const T* x = a.x + offset[1];
    if (sy == 1 && sx == 1) {
      __builtin_memcpy(y, x, n * sizeof(T));
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
  switch (a.to) {
    case DType::f32: return cast_to<f32>(s, a);
    case DType::f64: return cast_to<f64>(s, a);
    case DType::i64: return cast_to<i64>(s, a);
    case DType::i32: return cast_to<i32>(s, a);
    case DType::u8: return cast_to<u8>(s, a);
    case DType::b8: return cast_to<b8>(s, a);
  }
}

template <class T>
void fill(Stream& s, const FillArgs<T>& a) {
  parallel_for(s, a.n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) a.x[i] = a.value;
  });
}

#include "isa/instantiate.h"
#include "ops/copy/kernels.inc"

}  // namespace fnn::FNN_ISA
