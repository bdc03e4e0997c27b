#include "autograd/tape.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "ops/matmul/op.h"
#include "ops/unary/op.h"
#include "ops/view/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

std::optional<UnaryOp> parse_activation(const std::string& name) {
  if (name == "none") return std::nullopt;
  for (const UnaryOp op : {UnaryOp::relu, UnaryOp::sigmoid, UnaryOp::tanh, UnaryOp::gelu, UnaryOp::silu})
    if (name == unary_name(op)) return op;
  fail("linear", "activation must be none, relu, sigmoid, tanh, gelu or silu; got '", name, "'");
}

// A dense (out, in) weight in either order of memory.
Tensor dense_weight(const Tensor& w, bool& transposed) {
  transposed = !is_contiguous(*w) && is_contiguous(*swapped(w));
  return transposed ? w : as_contiguous(w);
}

Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias, const std::string& activation) {
  const std::optional<UnaryOp> act = parse_activation(activation);
  check(weight->ndim() == 2, "linear", "expected weight (out, in); got shape ", weight->shape);
  const int64_t out = weight->shape[0], in = weight->shape[1];
  check(input->ndim() >= 1 && input->shape.back() == in, "linear", "expected input (..., ", in, ") for weight ",
        weight->shape, "; got ", input->shape);
  check(!bias || (bias->ndim() == 1 && bias->shape[0] == out), "linear", "expected bias (", out, ",); got ",
        bias ? bias->shape : Dims());
  for (const Tensor* t : {&weight, &bias})
    check<TypeError>(!*t || (*t)->dtype == input->dtype, "linear", "expected weight and bias of input's dtype ",
                     name(input->dtype), "; got ", name((*t ? *t : input)->dtype));
  const Tensor flat = input->ndim() == 2 ? input : reshape(input, {in == 0 ? 0 : input->numel() / in, in});
  const int64_t n = flat->shape[0];
  const Tensor x = as_contiguous(flat), b = bias ? as_contiguous(bias) : bias;
  bool transposed;
  const Tensor w = dense_weight(weight, transposed);
  const UnaryOp op = act.value_or(UnaryOp::relu);

  Tensor y = empty({n, out}, x->dtype), z;
  if (act && !reads_y(op) && needs_grad({&flat, &weight, &bias})) z = empty({n, out}, x->dtype);
  visit_floating("linear", "input", x->dtype, [&]<class T>() {
    launch<kernel::linear_fwd>(LinearFwdArgs<T>{n, in, out, x->data<T>(), w->data<T>(), transposed,
                                                b ? b->data<T>() : nullptr, z ? z->data<T>() : nullptr, y->data<T>(),
                                                act.has_value(), op, product_precision()});
  });
  y = record("linear", {&flat, &weight, &bias}, y, [&] {
    return [sx = Saved(x), sw = Saved(w), syz = act ? Saved(z ? z : y) : Saved(), transposed, op,
            fuse = act.has_value(), n, in, out](const Tensor& dy, Grads& dx) {
      const Tensor &x = sx.get("linear"), &w = sw.get("linear");
      const Tensor yz = fuse ? syz.get("linear") : Tensor();
      const Tensor g = as_contiguous(dy);
      if (dx.needs(0)) dx[0] = empty(x->shape, x->dtype);
      if (dx.needs(1)) dx[1] = empty_like(w);
      if (dx.needs(2)) dx[2] = empty({out}, x->dtype);
      const Tensor scratch = fuse ? empty(yz->shape, yz->dtype) : Tensor();
      visit_floating("linear", "input", x->dtype, [&]<class T>() {
        const auto ptr = [](const Tensor& t) { return t ? t->data<T>() : nullptr; };
        launch<kernel::linear_bwd>(LinearBwdArgs<T>{n,
                                                    in,
                                                    out,
                                                    x->data<T>(),
                                                    w->data<T>(),
                                                    transposed,
                                                    ptr(yz),
                                                    g->data<T>(),
                                                    ptr(scratch),
                                                    ptr(dx[0]),
                                                    ptr(dx[1]),
                                                    ptr(dx[2]),
                                                    fuse,
                                                    op,
                                                    false,
                                                    op,
                                                    nullptr,
                                                    {},
                                                    product_precision()});
      });
    };
  });
  if (input->ndim() == 2) return y;
  Dims shape = input->shape;
  shape[shape.size() - 1] = out;
  return reshape(y, shape);
}

}  // namespace

void bind_linear(Module& m) {
  m.def("linear", &linear, required("input"), required("weight"), py::arg("bias") = py::none(),
        py::arg("activation") = "none", ReleaseGil(),
        "activation(input @ weight.T + bias) in one kernel, for input (..., in), weight (out, in) and bias (out,), all "
        "float32 or all float64; activation is none, relu, sigmoid, tanh, gelu or silu. Backward gives the three "
        "gradients in one call. Raises a ValueError for shapes and a TypeError for dtypes that do not match.");
}

}  // namespace fnn
