#include "ops/copy/op.h"

#include <cmath>
#include <limits>

#include "autograd/tape.h"
#include "core/iterate.h"
#include "plan/launch.h"

namespace fnn {
namespace {

// NaN, infinity and what the integer type cannot hold have no integer value.
template <class From>
struct IntegerRange {
  const char* op;
  const From* x;  // (n)
  int64_t n;
  DType to;

  void check() const {
    if (to == DType::i64) check_all<i64>();
    if (to == DType::i32) check_all<i32>();
    if (to == DType::u8) check_all<u8>();
  }
  template <class V>
  void visit(V& v) {
    v.in(x, n);
  }

 private:
  template <class To>
  void check_all() const {
    using Limits = std::numeric_limits<To>;
    for (int64_t i = 0; i < n; ++i) {
      bool fits;
      if constexpr (std::is_floating_point_v<From>) {  // the bounds are exact in every floating type
        const From beyond = std::ldexp(From(1), Limits::digits), lowest = static_cast<From>(Limits::min());
        fits = (x[i] > lowest - From(1) || x[i] == lowest) && x[i] < beyond;
      } else {
        fits = static_cast<int64_t>(x[i]) >= Limits::min() && static_cast<int64_t>(x[i]) <= Limits::max();
      }
      fnn::check(fits, op, "cannot convert ", +x[i], " to ", name(to));
    }
  }
};

}  // namespace

void copy_into(const Tensor& y, const Tensor& x) {
  if (y->numel() == 0) return;
  const auto shape = merge_dims<2>(y->shape, {y->strides, broadcast_strides(*x, y->shape)});
  switch (itemsize(y->dtype)) {
    case 1: return launch<kernel::strided_copy>(CopyArgs<u8>{shape, y->data<u8>(), x->data<u8>()});
    case 4: return launch<kernel::strided_copy>(CopyArgs<i32>{shape, y->data<i32>(), x->data<i32>()});
    default: return launch<kernel::strided_copy>(CopyArgs<i64>{shape, y->data<i64>(), x->data<i64>()});
  }
}

Tensor clone(const Tensor& x) {
  Tensor y = empty_like(x);
  copy_into(y, x);
  return y;
}

namespace {

Tensor filled(const Tensor& y, double value) {
  visit_all(y->dtype,
            [&]<class T>() { launch<kernel::fill>(FillArgs<T>{y->data<T>(), static_cast<T>(value), y->numel()}); });
  return y;
}

}  // namespace

Tensor full(const Dims& shape, DType dtype, double value) { return filled(empty(shape, dtype), value); }
Tensor scalar_tensor(const char* op, const Scalar& s, DType dtype) {
  const Tensor t = empty({}, is_floating(dtype) ? dtype : s.is_float ? DType::f64 : DType::i64);
  visit_all(t->dtype,
            [&]<class T>() { *t->data<T>() = s.is_float ? static_cast<T>(s.value) : static_cast<T>(s.integer); });
  if (observer) observer->filled(*t);
  return cast(op, t, dtype);
}

Tensor zeros(const Dims& shape, DType dtype) { return full(shape, dtype, 0); }
Tensor full_like(const Tensor& x, double value) { return filled(empty_like(x), value); }

Tensor as_contiguous(const Tensor& x) {
  if (is_contiguous(*x)) return x;
  Tensor y = empty(x->shape, x->dtype);
  copy_into(y, x);
  return y;
}

Tensor as_channels_last(const Tensor& x) {
  if (is_channels_last(*x)) return x;
  Tensor y = empty_channels_last(x->shape, x->dtype);
  copy_into(y, x);
  return y;
}

Tensor as_dense(const Tensor& x) { return is_dense(*x) ? x : as_contiguous(x); }

Tensor as_strided_like(const Tensor& x, const Dims& strides) {
  bool same = true;
  for (int i = 0; i < x->ndim(); ++i) same &= x->shape[i] == 1 || x->strides[i] == strides[i];
  if (same) return x;
  Tensor y = empty_strided(x->shape, strides, x->dtype);
  copy_into(y, x);
  return y;
}

Tensor cast(const char* op, const Tensor& x, DType to) {
  if (x->dtype == to) return x;
  const Tensor dense = as_dense(x);
  if (promote(x->dtype, to) != to && to != DType::b8 && !is_floating(to))
    visit_all(x->dtype,
              [&]<class T>() { launch<value_check>(IntegerRange<T>{op, dense->data<T>(), dense->numel(), to}); });
  Tensor y = empty_like(dense, to);
  visit_all(x->dtype,
            [&]<class T>() { launch<kernel::cast>(CastArgs<T>{dense->data<T>(), y->raw(), to, y->numel()}); });
  return y;
}

Tensor contiguous(const Tensor& x, MemoryFormat format) {
  const bool last = format == MemoryFormat::channels_last;
  check(!last || x->ndim() == 4, "contiguous", "channels_last needs a 4-d tensor; got shape ", x->shape);
  Tensor y = last ? as_channels_last(x) : as_contiguous(x);
  if (y == x) return y;
  return record("contiguous", {&x}, y, [] { return [](const Tensor& dy, Grads& dx) { dx[0] = dy; }; });
}

Tensor to(const char* op, const Tensor& x, DType dtype) {
  Tensor y = cast(op, x, dtype);
  if (y == x || !is_floating(dtype)) return y;
  return record("to", {&x}, y,
                [from = x->dtype] { return [from](const Tensor& dy, Grads& dx) { dx[0] = cast("to", dy, from); }; });
}

}  // namespace fnn
