#include "ops/binary/op.h"

#include <limits>

#include "autograd/tape.h"
#include "core/iterate.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "ops/reduce/op.h"
#include "ops/unary/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

constexpr const char* kOpNames[] = {"add", "sub", "mul", "div", "pow", "maximum", "minimum"};
constexpr const char* kCompareNames[] = {"eq", "ne", "lt", "le", "gt", "ge"};

StridedShape<3> iteration_shape(const Tensor& y, const Tensor& a, const Tensor& b) {
  return merge_dims<3>(y->shape, {y->strides, broadcast_strides(*a, y->shape), broadcast_strides(*b, y->shape)});
}

// The result takes the layout of an operand of its full shape, so channels-last stays so.
Tensor empty_broadcast(const char* op, const Tensor& a, const Tensor& b, DType dtype) {
  const Dims shape = broadcast_shapes(op, a->shape, b->shape);
  for (const Tensor* x : {&a, &b})
    if ((*x)->shape == shape && is_dense(**x)) return empty_strided(shape, (*x)->strides, dtype);
  return empty(shape, dtype);
}

void run_binary(BinaryOp op, const Tensor& y, const Tensor& a, const Tensor& b) {
  if (y->numel() == 0) return;
  visit_all(y->dtype, [&]<class T>() {
    if constexpr (!std::is_same_v<T, bool>)
      launch<kernel::binary>(BinaryArgs<T>{iteration_shape(y, a, b), y->data<T>(), a->data<T>(), b->data<T>(), op});
  });
}

DType scalar_meets(DType t, const Scalar& s) {
  if (s.is_float) return is_floating(t) ? t : DType::f32;
  if (is_floating(t) || t == DType::i64) return t;
  const auto fits = [&]<class T>() {
    return s.integer >= std::numeric_limits<T>::min() && s.integer <= std::numeric_limits<T>::max();
  };
  if (t == DType::u8 && fits.operator()<u8>()) return t;
  if (t == DType::i32 && fits.operator()<i32>()) return t;
  return DType::i64;
}

// Tensors of 0 dimensions widen others as little as numbers do, as long as both are of one kind.
DType tensors_meet(const Tensor& a, const Tensor& b) {
  const auto kind = [](DType t) { return t == DType::b8 ? 0 : is_floating(t) ? 2 : 1; };
  if (kind(a->dtype) == kind(b->dtype) && (a->ndim() == 0) != (b->ndim() == 0)) return (a->ndim() == 0 ? b : a)->dtype;
  return promote(a->dtype, b->dtype);
}

Tensor materialize(const char* op, const Operand& x, DType dtype) {
  if (const Scalar* s = std::get_if<Scalar>(&x)) return scalar_tensor(op, *s, dtype);
  return to(op, std::get<Tensor>(x), dtype);
}

// Both operands in the type they promote to, as PyTorch does: a number never widens a tensor.
std::pair<Tensor, Tensor> operands(const char* op, const Operand& a, const Operand& b, bool floating) {
  const Tensor* ta = std::get_if<Tensor>(&a);
  const Tensor* tb = std::get_if<Tensor>(&b);
  check<TypeError>(ta || tb, op, "expected at least one Tensor");
  DType dtype = ta && tb ? tensors_meet(*ta, *tb)
                : ta     ? scalar_meets((*ta)->dtype, std::get<Scalar>(b))
                         : scalar_meets((*tb)->dtype, std::get<Scalar>(a));
  if (floating && !is_floating(dtype)) dtype = DType::f32;
  return {materialize(op, a, dtype), materialize(op, b, dtype)};
}

Tensor is_zero(const Tensor& x) { return cast("pow", compare(CompareOp::eq, x, full({}, x->dtype, 0)), x->dtype); }

// dy where a is chosen, half of it where the two are equal.
Tensor half_where_equal(CompareOp strict, const Tensor& a, const Tensor& b, const Tensor& dy) {
  const Tensor chosen = cast("maximum", compare(strict, a, b), dy->dtype);
  const Tensor equal = cast("maximum", compare(CompareOp::eq, a, b), dy->dtype);
  return mul(dy, add(chosen, mul(equal, full({}, dy->dtype, 0.5))));
}

// da of y = a op b before it is summed to a's shape; `first` says which operand it is.
Tensor operand_grad(BinaryOp op, bool first, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& dy) {
  switch (op) {
    case BinaryOp::add: return dy;
    case BinaryOp::sub: return first ? dy : unary(UnaryOp::neg, dy);
    case BinaryOp::mul: return mul(dy, first ? b : a);
    case BinaryOp::div:
      if (first) return binary(BinaryOp::div, dy, b);
      return unary(UnaryOp::neg, binary(BinaryOp::div, mul(dy, y), b));
    case BinaryOp::pow:
      // Where the formula reads 0 * infinity the limit is 0: the other factor is kept finite there.
      if (first) {
        const Tensor exponent = add(binary(BinaryOp::sub, b, full({}, b->dtype, 1)), is_zero(b));
        return mul(dy, mul(b, binary(BinaryOp::pow, a, exponent)));
      }
      return mul(dy, mul(y, unary(UnaryOp::log, add(a, is_zero(a)))));
    case BinaryOp::maximum: return half_where_equal(first ? CompareOp::gt : CompareOp::lt, a, b, dy);
    case BinaryOp::minimum: return half_where_equal(first ? CompareOp::lt : CompareOp::gt, a, b, dy);
  }
  return dy;
}

Tensor arithmetic(BinaryOp op, const Operand& x, const Operand& z) {
  const char* label = kOpNames[static_cast<int>(op)];
  if (const Scalar* exponent = std::get_if<Scalar>(&z); op == BinaryOp::pow && exponent) {
    check<TypeError>(std::holds_alternative<Tensor>(x), label, "expected at least one Tensor");
    const Tensor& base = std::get<Tensor>(x);
    const Tensor a = is_floating(base->dtype) ? base : to(label, base, DType::f32);
    return exponent->value == 2 ? apply_unary(UnaryOp::square, a) : apply_unary(UnaryOp::pow, a, exponent->value);
  }
  const auto [a, b] = operands(label, x, z, op == BinaryOp::div || op == BinaryOp::pow);
  check<TypeError>(a->dtype != DType::b8, label, "is not defined for two bool tensors");
  const Tensor y = binary(op, a, b);
  return record(label, {&a, &b}, y, [&, a = a, b = b] {
    const bool reads_y = op == BinaryOp::div || op == BinaryOp::pow;
    const bool reads_inputs = op != BinaryOp::add && op != BinaryOp::sub;
    return [op, label, sa = a->shape, sb = b->shape, a = reads_inputs ? Saved(a) : Saved(),
            b = reads_inputs ? Saved(b) : Saved(), y = reads_y ? Saved(y) : Saved(), reads_inputs,
            reads_y](const Tensor& dy, Grads& dx) {
      const Tensor none;
      const Tensor& va = reads_inputs ? a.get(label) : none;
      const Tensor& vb = reads_inputs ? b.get(label) : none;
      const Tensor& vy = reads_y ? y.get(label) : none;
      if (dx.needs(0)) dx[0] = sum_to(operand_grad(op, true, va, vb, vy, dy), sa);
      if (dx.needs(1)) dx[1] = sum_to(operand_grad(op, false, va, vb, vy, dy), sb);
    };
  });
}

Tensor comparison(CompareOp op, const Operand& x, const Operand& z) {
  const auto [a, b] = operands(kCompareNames[static_cast<int>(op)], x, z, false);
  return compare(op, a, b);
}

}  // namespace

Tensor binary(BinaryOp op, const Tensor& a, const Tensor& b) {
  Tensor y = empty_broadcast(kOpNames[static_cast<int>(op)], a, b, a->dtype);
  run_binary(op, y, a, b);
  return y;
}

void add_(const Tensor& y, const Tensor& x) {
  ++y->storage->version;
  run_binary(BinaryOp::add, y, y, x);
}

Tensor compare(CompareOp op, const Tensor& a, const Tensor& b) {
  Tensor y = empty_broadcast(kCompareNames[static_cast<int>(op)], a, b, DType::b8);
  if (y->numel() == 0) return y;
  visit_all(a->dtype, [&]<class T>() {
    launch<kernel::compare>(CompareArgs<T>{iteration_shape(y, a, b), y->data<bool>(), a->data<T>(), b->data<T>(), op});
  });
  return y;
}

namespace {

// y op= x: the result must keep y's shape and type.
Tensor in_place(BinaryOp op, const Tensor& y, const Operand& x) {
  const char* label = kOpNames[static_cast<int>(op)];
  const auto [a, b] = operands(label, y, x, op == BinaryOp::div || op == BinaryOp::pow);
  check<TypeError>(a->dtype == y->dtype, label, "in place would change the dtype from ", name(y->dtype), " to ",
                   name(a->dtype));
  check(broadcast_shapes(label, y->shape, b->shape) == y->shape, label, "in place would change the shape ", y->shape,
        " by an operand of shape ", b->shape);
  check<RuntimeError>(!(grad_enabled() && b->requires_grad), label,
                      "in place with an operand that requires a gradient works only inside no_grad()");
  begin_in_place(label, y);
  // An operand that overlaps y otherwise than element by element is read before it is written.
  run_binary(op, y, y, overlaps(*y, *b) ? clone(b) : b);
  return y;
}

template <BinaryOp op>
void def_arithmetic(Module& m, const char* dunder, const char* doc) {
  const char* label = kOpNames[static_cast<int>(op)];
  m.def(
      label, [](const Operand& a, const Operand& b) { return arithmetic(op, a, b); }, doc, required("input"),
      required("other"), ReleaseGil());
  TensorClass cls(m.attr("Tensor"));
  const auto forward = [](const Tensor& a, const Operand& b) { return arithmetic(op, a, b); };
  cls.def(label, forward, doc, required("other"), ReleaseGil());
  if (!dunder) return;
  const std::string base(dunder);
  cls.def(("__" + base + "__").c_str(), forward, py::is_operator(), ReleaseGil());
  cls.def(("__r" + base + "__").c_str(), [](const Tensor& a, const Operand& b) { return arithmetic(op, b, a); },
          py::is_operator(), ReleaseGil());
  cls.def(("__i" + base + "__").c_str(), [](const Tensor& a, const Operand& b) { return in_place(op, a, b); },
          py::is_operator(), ReleaseGil());
  cls.def((std::string(label) + "_").c_str(), [](const Tensor& a, const Operand& b) { return in_place(op, a, b); },
          required("other"), ReleaseGil());
}

template <CompareOp op>
void def_comparison(Module& m, const char* doc) {
  const char* label = kCompareNames[static_cast<int>(op)];
  const auto f = [](const Tensor& a, const Operand& b) { return comparison(op, a, b); };
  def_op(m, label, f, doc, required("other"));
  TensorClass cls(m.attr("Tensor"));
  cls.def((std::string("__") + label + "__").c_str(), f, py::is_operator(), ReleaseGil());
}

}  // namespace

void bind_binary(Module& m) {
  def_arithmetic<BinaryOp::add>(m, "add", "input + other, broadcast; types promote as in PyTorch.");
  def_arithmetic<BinaryOp::sub>(m, "sub", "input - other, broadcast.");
  def_arithmetic<BinaryOp::mul>(m, "mul", "input * other, broadcast.");
  def_arithmetic<BinaryOp::div>(m, "truediv", "input / other, broadcast; two integers give float32.");
  def_arithmetic<BinaryOp::pow>(m, "pow", "input ** other, broadcast; two integers give float32.");
  def_arithmetic<BinaryOp::maximum>(m, nullptr, "The larger of the two, element by element; NaN propagates.");
  def_arithmetic<BinaryOp::minimum>(m, nullptr, "The smaller of the two, element by element; NaN propagates.");
  def_comparison<CompareOp::eq>(m, "input == other, a bool tensor.");
  def_comparison<CompareOp::ne>(m, "input != other, a bool tensor.");
  def_comparison<CompareOp::lt>(m, "input < other, a bool tensor.");
  def_comparison<CompareOp::le>(m, "input <= other, a bool tensor.");
  def_comparison<CompareOp::gt>(m, "input > other, a bool tensor.");
  def_comparison<CompareOp::ge>(m, "input >= other, a bool tensor.");
}

}  // namespace fnn
