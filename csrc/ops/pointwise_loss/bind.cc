#include "ops/pointwise_loss/args.h"

#include "autograd/tape.h"
#include "core/iterate.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "ops/cross_entropy/op.h"
#include "ops/view/op.h"
#include "python/casters.h"

#include <limits>
#include <optional>

namespace fnn {
namespace {

struct Inputs {
  Tensor x, t, u, v;
};

// The reduction of kl_div that divides the sum by the rows, not the elements.
constexpr const char* kBatchMean = "batchmean";

Tensor apply(const char* op, PointwiseLoss kind, const Inputs& in, const std::string& reduction_name, double alpha) {
  const bool batchmean = kind >= PointwiseLoss::kl_div && reduction_name == kBatchMean;
  const Reduction reduction = batchmean ? Reduction::mean : parse_reduction(op, reduction_name);
  check(in.t->shape == in.x->shape, op, "expected target of input's shape ", in.x->shape, "; got ", in.t->shape);
  for (const Tensor* t : {&in.t, &in.u, &in.v})
    check<TypeError>(!*t || (*t)->dtype == in.x->dtype, op, "expected all arguments of input's dtype ",
                     name(in.x->dtype), "; got ", name((*t ? *t : in.x)->dtype));
  const Tensor x = as_dense(in.x);
  const auto alike = [&](const Tensor& t) -> Tensor {
    if (!t) return t;
    check(broadcast_shapes(op, t->shape, x->shape) == x->shape, op, "an argument of shape ", t->shape,
          " does not broadcast to input's ", x->shape);
    return as_strided_like(alias(t, x->shape, broadcast_strides(*t, x->shape), t->offset), x->strides);
  };
  const Tensor t = alike(in.t), u = alike(in.u), v = alike(in.v);
  const bool reduce = reduction != Reduction::none;
  const double count = static_cast<double>(batchmean && x->ndim() > 0 ? x->shape[0] : x->numel());
  const double scale = reduction == Reduction::mean ? 1 / count : 1;
  const Tensor y = reduce ? empty({}, x->dtype) : empty_like(x);
  visit_floating(op, "input", x->dtype, [&]<class T>() {
    const auto ptr = [](const Tensor& p) { return p ? p->data<T>() : nullptr; };
    launch<kernel::pointwise_loss_fwd>(PointwiseLossFwdArgs<T>{x->numel(), ptr(x), ptr(t), ptr(u), ptr(v), ptr(y),
                                                               reduce, static_cast<T>(scale), kind,
                                                               static_cast<T>(alpha)});
  });
  return record(op, {&in.x, &in.t, &in.u}, y, [&] {
    const auto saved = [](const Tensor& p) { return p ? std::optional<Saved>(p) : std::nullopt; };
    return [op, kind, alpha, reduce, scale, sx = Saved(x), st = Saved(t), su = saved(u), sv = saved(v)](
               const Tensor& dy, Grads& dx) {
      const auto get = [op](const std::optional<Saved>& p) { return p ? p->get(op) : Tensor(); };
      const Tensor &x = sx.get(op), &t = st.get(op);
      const Tensor u = get(su), v = get(sv), g = reduce ? dy : as_strided_like(dy, x->strides);
      for (size_t i = 0; i < 3; ++i)
        if (dx.needs(i)) dx[i] = empty_like(x);
      visit_floating(op, "input", x->dtype, [&]<class T>() {
        const auto ptr = [](const Tensor& p) { return p ? p->data<T>() : nullptr; };
        launch<kernel::pointwise_loss_bwd>(
            PointwiseLossBwdArgs<T>{x->numel(), ptr(x), ptr(t), ptr(u), ptr(v), ptr(g), reduce, static_cast<T>(scale),
                                    ptr(dx[0]), ptr(dx[1]), ptr(dx[2]), kind, static_cast<T>(alpha)});
      });
    };
  });
}

void check_no_grad(const char* op, const char* arg, const Tensor& t) {
  check<TypeError>(!t || !t->requires_grad, op, arg, " has no gradient here; use detach()");
}

template <class T>
struct ValueRange {
  const char *op, *arg, *wanted;
  const T* x;  // (n)
  int64_t n;
  T lowest, highest;  // NaN passes, and comes out as NaN

  FindOutsideArgs<T> range() const { return {x, n, lowest, highest, true, std::numeric_limits<T>::quiet_NaN()}; }
  void refuse(T value) const { fail(op, arg, " must ", wanted, "; got ", value); }
  template <class V>
  void visit(V& v) {
    v.in(x, n);
  }
};

void check_range(const char* op, const char* arg, const char* wanted, const Tensor& t, double highest) {
  visit_floating(op, arg, t->dtype, [&]<class T>() {
    const Tensor dense = as_dense(t);
    launch<value_check>(ValueRange<T>{op, arg, wanted, dense->data<T>(), dense->numel(), 0, static_cast<T>(highest)});
  });
}

Tensor gaussian_nll(const Tensor& input, const Tensor& target, const Tensor& var, bool full, double eps,
                    const std::string& reduction) {
  const char* op = "gaussian_nll_loss";
  check(eps > 0, op, "eps must be positive; got ", eps);
  // One variance for several values is spread out on the tape, so that its gradient is summed.
  Dims shape = var->shape;
  if (shape.size() + 1 == input->ndim()) shape.push_back(1);
  bool fits = shape.size() == input->ndim();
  for (int i = 0; fits && i < shape.size(); ++i) fits = shape[i] == 1 || shape[i] == input->shape[i];
  check(fits, op, "expected var of shape ", input->shape, " or with a last size of 1; got ", var->shape);
  const Tensor wide = expand(reshape(var, shape), input->shape);
  check_range(op, "var", "not be negative", var, std::numeric_limits<double>::infinity());
  return apply(op, full ? PointwiseLoss::gaussian_nll_full : PointwiseLoss::gaussian_nll, {input, target, wide, {}},
               reduction, eps);
}

}  // namespace

void bind_pointwise_loss(Module& m) {
  const auto x = required("input"), t = required("target");
  const auto reduction = py::arg("reduction") = "mean";
  m.def(
      "mse_loss",
      [](const Tensor& x, const Tensor& t, const std::string& r) {
        return apply("mse_loss", PointwiseLoss::mse, {x, t, {}, {}}, r, 0);
      },
      x, t, reduction, ReleaseGil(), "(input - target)^2; shapes must be equal.");
  m.def(
      "l1_loss",
      [](const Tensor& x, const Tensor& t, const std::string& r) {
        return apply("l1_loss", PointwiseLoss::l1, {x, t, {}, {}}, r, 0);
      },
      x, t, reduction, ReleaseGil(), "|input - target|; shapes must be equal.");
  m.def(
      "smooth_l1_loss",
      [](const Tensor& x, const Tensor& t, const std::string& r, double beta) {
        check(beta >= 0, "smooth_l1_loss", "beta must not be negative; got ", beta);
        return apply("smooth_l1_loss", beta == 0 ? PointwiseLoss::l1 : PointwiseLoss::smooth_l1, {x, t, {}, {}}, r,
                     beta);
      },
      x, t, reduction, py::arg("beta") = 1.0, ReleaseGil(),
      "d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere; d = input - target.");
  m.def(
      "huber_loss",
      [](const Tensor& x, const Tensor& t, const std::string& r, double delta) {
        check(delta > 0, "huber_loss", "delta must be positive; got ", delta);
        return apply("huber_loss", PointwiseLoss::huber, {x, t, {}, {}}, r, delta);
      },
      x, t, reduction, py::arg("delta") = 1.0, ReleaseGil(),
      "d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) elsewhere; d = input - target.");
  m.def(
      "binary_cross_entropy",
      [](const Tensor& x, const Tensor& t, const Tensor& w, const std::string& r) {
        check_no_grad("binary_cross_entropy", "weight", w);
        check_range("binary_cross_entropy", "input", "be in [0, 1]", x, 1);
        return apply("binary_cross_entropy", PointwiseLoss::bce, {x, t, w, {}}, r, 0);
      },
      x, t, py::arg("weight") = py::none(), reduction, ReleaseGil(),
      "-weight (t log x + (1 - t) log(1 - x)) for probabilities; logarithms are kept above -100.");
  m.def(
      "binary_cross_entropy_with_logits",
      [](const Tensor& x, const Tensor& t, const Tensor& w, const std::string& r, const Tensor& pos_weight) {
        const char* op = "binary_cross_entropy_with_logits";
        check_no_grad(op, "weight", w);
        check_no_grad(op, "pos_weight", pos_weight);
        return apply(op, PointwiseLoss::bce_with_logits, {x, t, w, pos_weight}, r, 0);
      },
      x, t, py::arg("weight") = py::none(), reduction, py::arg("pos_weight") = py::none(), ReleaseGil(),
      "binary_cross_entropy of sigmoid(input), without overflow; pos_weight multiplies the term of t.");
  m.def("gaussian_nll_loss", &gaussian_nll, x, t, required("var"), py::arg("full") = false, py::arg("eps") = 1e-6,
        reduction, ReleaseGil(),
        "(log v + (input - target)^2 / v) / 2 with v = max(var, eps), plus log(2 pi) / 2 when full.");
  m.def(
      "kl_div",
      [](const Tensor& x, const Tensor& t, const std::string& r, bool log_target) {
        return apply("kl_div", log_target ? PointwiseLoss::kl_div_log : PointwiseLoss::kl_div, {x, t, {}, {}}, r, 0);
      },
      x, t, reduction, py::arg("log_target") = false, ReleaseGil(),
      "target (log target - input) for log-probabilities input; reduction may also be 'batchmean'.");
}

}  // namespace fnn
