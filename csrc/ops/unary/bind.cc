#include "autograd/tape.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "ops/unary/op.h"
#include "python/casters.h"

#include <limits>
#include <optional>

namespace fnn {

constexpr const char* kNames[] = {"neg", "abs", "exp",  "log",        "sqrt",    "square", "pow",  "clip", "sin",
                                  "cos", "erf", "relu", "leaky_relu", "sigmoid", "tanh",   "gelu", "gelu", "silu"};

const char* unary_name(UnaryOp op) { return kNames[static_cast<int>(op)]; }

Tensor unary(UnaryOp op, const Tensor& input, double alpha, double beta) {
  const Tensor x = as_dense(input);
  Tensor y = empty_like(x);
  visit_floating(unary_name(op), "input", x->dtype, [&]<class T>() {
    launch<kernel::unary_fwd>(
        UnaryFwdArgs<T>{x->data<T>(), y->data<T>(), x->numel(), op, static_cast<T>(alpha), static_cast<T>(beta)});
  });
  return y;
}

Tensor unary_backward(UnaryOp op, const Tensor& xy, const Tensor& dy, double alpha, double beta) {
  const Tensor dense = as_dense(xy);
  const Tensor g = as_strided_like(dy, dense->strides);
  Tensor dx = empty_like(dense);
  visit_floating(unary_name(op), "input", dx->dtype, [&]<class T>() {
    launch<kernel::unary_bwd>(UnaryBwdArgs<T>{dense->data<T>(), g->data<T>(), dx->data<T>(), dx->numel(), op,
                                              static_cast<T>(alpha), static_cast<T>(beta)});
  });
  return dx;
}

Tensor apply_unary(UnaryOp op, const Tensor& x, double alpha, double beta) {
  const char* label = unary_name(op);
  const Tensor y = unary(op, x, alpha, beta);
  return record(label, {&x}, y, [&] {
    return [op, label, alpha, beta, xy = Saved(reads_y(op) ? y : x)](const Tensor& dy, Grads& dx) {
      dx[0] = unary_backward(op, xy.get(label), dy, alpha, beta);
    };
  });
}

namespace {

template <UnaryOp op>
void def_unary(Module& m, const char* doc) {
  def_op(m, unary_name(op), [](const Tensor& x) { return apply_unary(op, x); }, doc);
}

Tensor clip(const Tensor& x, std::optional<double> lowest, std::optional<double> highest) {
  check(lowest || highest, "clip", "at least one of min and max must be given");
  const double inf = std::numeric_limits<double>::infinity();
  return apply_unary(UnaryOp::clip, x, lowest.value_or(-inf), highest.value_or(inf));
}

}  // namespace

void bind_unary(Module& m) {
  def_unary<UnaryOp::neg>(m, "-input.");
  def_unary<UnaryOp::abs>(m, "|input|; the gradient at 0 is 0.");
  def_unary<UnaryOp::exp>(m, "e ** input.");
  def_unary<UnaryOp::log>(m, "Natural logarithm.");
  def_unary<UnaryOp::sqrt>(m, "Square root.");
  def_unary<UnaryOp::sin>(m, "Sine of input, in radians.");
  def_unary<UnaryOp::cos>(m, "Cosine of input, in radians.");
  def_unary<UnaryOp::erf>(m, "Error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to input.");
  def_unary<UnaryOp::relu>(m, "max(input, 0); NaN propagates, the gradient at 0 is 0.");
  def_unary<UnaryOp::sigmoid>(m, "1 / (1 + exp(-input)).");
  def_unary<UnaryOp::tanh>(m, "Hyperbolic tangent.");
  def_unary<UnaryOp::silu>(m, "input * sigmoid(input).");
  def_op(
      m, "leaky_relu", [](const Tensor& x, double slope) { return apply_unary(UnaryOp::leaky_relu, x, slope); },
      "input where it is positive, negative_slope * input elsewhere.", py::arg("negative_slope") = 0.01);
  def_op(
      m, "gelu",
      [](const Tensor& x, const std::string& approximate) {
        check(approximate == "none" || approximate == "tanh", "gelu", "approximate must be 'none' or 'tanh'; got '",
              approximate, "'");
        return apply_unary(approximate == "none" ? UnaryOp::gelu : UnaryOp::gelu_tanh, x);
      },
      "input * Phi(input), Phi the normal distribution function, exact or by its tanh approximation.",
      py::arg("approximate") = "none");
  for (const char* label : {"clip", "clamp"})
    def_op(m, label, clip, "input limited to [min, max]; the gradient is 0 outside.", py::arg("min") = py::none(),
           py::arg("max") = py::none());
  TensorClass cls(m.attr("Tensor"));
  cls.def("__neg__", [](const Tensor& x) { return apply_unary(UnaryOp::neg, x); }, ReleaseGil());
  cls.def("__abs__", [](const Tensor& x) { return apply_unary(UnaryOp::abs, x); }, ReleaseGil());
}

}  // namespace fnn
