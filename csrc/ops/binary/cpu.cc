#include "ops/binary/tile.h"

#include "core/dtype.h"
#include "tile/strided.h"

namespace fnn::FNN_ISA {

constexpr int64_t kBlock = 512;

// The next n elements side by side: in place, or gathered into the buffer.
template <class T>
FNN_INLINE const T* side_by_side(const T* x, int64_t stride, int64_t n, T* buffer) {
  if (stride == 1) return x;
  for (int64_t i = 0; i < n; ++i) buffer[i] = x[i * stride];
  return buffer;
}

template <class Y>
Y element(Y*);

// One plain loop that the compiler vectorises: these functions are bound by memory.
template <class T, class Args, class F>
void run(Stream& s, const Args& args, const F& f) {
  const int last = args.shape.ndim - 1;
  const int64_t sy = args.shape.stride[0][last], sa = args.shape.stride[1][last], sb = args.shape.stride[2][last];
  const int64_t total = args.shape.numel();
  for_each_row(s, args.shape, [&](const int64_t* at, int64_t n) {
    using Y = decltype(element(args.y));
    T buffer_a[kBlock], buffer_b[kBlock];
    alignas(64) Y buffer_y[kBlock];
    // In blocks only where a buffer is used: the end of each is a branch mispredicted.
    const bool direct = sy == 1 && sa == 1 && sb == 1 && !streams(args.y + at[0], total);
    const int64_t block = direct ? n : kBlock;
    for (int64_t i = 0; i < n; i += block) {
      const int64_t count = n - i < block ? n - i : block;
      const T* a = side_by_side(args.a + at[1] + i * sa, sa, count, buffer_a);
      const T* b = side_by_side(args.b + at[2] + i * sb, sb, count, buffer_b);
      Y* y = args.y + at[0] + i * sy;
      if (sy == 1 && streams(y, total)) {
        for (int64_t j = 0; j < count; ++j) buffer_y[j] = static_cast<Y>(f(a[j], b[j]));
        copy_out(y, buffer_y, count, total);
      } else if (sy == 1) {
#pragma GCC ivdep
#pragma GCC unroll 4
        for (int64_t j = 0; j < count; ++j) y[j] = f(a[j], b[j]);
      } else {
        for (int64_t j = 0; j < count; ++j) y[j * sy] = f(a[j], b[j]);
      }
    }
  });
}

template <class T>
void binary(Stream& s, const BinaryArgs<T>& args) {
  with_binary<T>(args.op, [&](auto f) { run<T>(s, args, f); });
}

template <class T>
void compare(Stream& s, const CompareArgs<T>& args) {
  with_compare(args.op, [&](auto f) { run<T>(s, args, f); });
}

#include "isa/instantiate.h"
#include "ops/binary/kernels.inc"

}  // namespace fnn::FNN_ISA
