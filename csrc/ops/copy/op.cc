#include "ops/copy/op.h"

#include <cmath>
#include <limits>

#include "autograd/tape.h"
#include "core/iterate.h"
#include "plan/launch.h"

namespace fnn {
namespace {

// What an integer type can hold, as numbers of another: NaN and infinity it cannot, and what lies
// behind the point is dropped.
template <class To, class From>
std::pair<From, From> bounds() {
  using Limits = std::numeric_limits<To>;
  if constexpr (std::is_floating_point_v<From>) {
    const From lowest = static_cast<From>(Limits::min()), beyond = std::ldexp(From(1), Limits::digits);
    const From below = lowest - From(1);  // the same where From is too coarse
    return {below == lowest ? lowest : std::nextafter(below, From(0)), std::nextafter(beyond, From(0))};
  } else {
    return {static_cast<From>(std::max<int64_t>(Limits::min(), std::numeric_limits<From>::min())),
            static_cast<From>(std::min<int64_t>(Limits::max(), std::numeric_limits<From>::max()))};
  }
}

template <class From>
struct IntegerRange {
  const char* op;
  const From* x;  // (n)
  int64_t n;
  DType to;

  std::pair<From, From> limits() const {
    return to == DType::u8 ? bounds<u8, From>() : to == DType::i32 ? bounds<i32, From>() : bounds<i64, From>();
  }
  FindOutsideArgs<From> range() const {
    const auto [lowest, highest] = limits();
    return {x, n, lowest, highest, false, lowest};
  }
  void refuse(From value) const { fail(op, "cannot convert ", +value, " to ", name(to)); }
  template <class V>
  void visit(V& v) {
    v.in(x, n);
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
  const auto check_range = [&]<class From>(From value) {
    if (is_floating(dtype) || dtype == DType::b8) return;
    const IntegerRange<From> wanted{op, nullptr, 0, dtype};
    const auto [lowest, highest] = wanted.limits();
    if (!(value >= lowest && value <= highest)) wanted.refuse(value);
  };
  s.is_float ? check_range(s.value) : check_range(s.integer);
  const Tensor t = empty({}, dtype);
  visit_all(dtype, [&]<class T>() {
    const T value = s.is_float ? static_cast<T>(s.value) : static_cast<T>(s.integer);
    launch<kernel::fill>(FillArgs<T>{t->data<T>(), value, 1});
  });
  return t;
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

Tensor on_device(const Tensor& x, Device device) {
  if (x->device() == device) return x;
  if (is_cpu(device)) refuse_while_recording("cpu(): the values of a tensor");
  check<RuntimeError>(!observer, "compile", "a step cannot be replayed that copies from ", name(x->device()), " to ",
                      name(device), ": pass it tensors that are there already");
  const DeviceGuard source(x->device());
  const Tensor dense = as_dense(x);
  const DeviceGuard target(device);
  Tensor y = empty_like(dense);
  copy_between_devices(*y, *dense);
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

Tensor to(const Tensor& x, Device device) {
  Tensor y = on_device(x, device);
  if (y == x) return y;
  return record("to", {&x}, y,
                [from = x->device()] { return [from](const Tensor& dy, Grads& dx) { dx[0] = on_device(dy, from); }; });
}

}  // namespace fnn
