#include "ops/cross_entropy/op.h"

#include "autograd/tape.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "ops/view/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

// (N, C, d1, ...) as rows of classes: (N d1 ..., C); a vector (C) is one row.
Tensor class_rows(const Tensor& x) {
  const int n = x->ndim();
  if (n == 1) return reshape(x, {1, x->shape[0]});
  if (n == 2) return x;
  Dims order{0};
  for (int i = 2; i < n; ++i) order.push_back(i);
  order.push_back(1);
  return reshape(permute(x, order), {-1, x->shape[1]});
}

// The shape of the targets of an input, and of the unreduced losses.
Dims target_shape(const Tensor& x) {
  Dims shape = x->shape;
  shape.erase(x->ndim() == 1 ? 0 : 1);
  return shape;
}

template <class T>
struct TargetRange {
  const char* op;
  const T* target;  // (n)
  int64_t n, classes, ignore_index;

  FindOutsideArgs<T> range() const { return {target, n, 0, classes - 1, true, ignore_index}; }
  void refuse(T value) const { fail<IndexError>(op, "target ", value, " is out of range for ", classes, " classes"); }
  template <class V>
  void visit(V& v) {
    v.in(target, n);
  }
};

Tensor checked_targets(const char* op, const Tensor& input, const Tensor& target, int64_t ignore_index) {
  check<TypeError>(!is_floating(target->dtype) && target->dtype != DType::b8, op,
                   "class targets must be integers; got ", name(target->dtype));
  check(target->shape == target_shape(input), op, "expected target of shape ", target_shape(input), " for input ",
        input->shape, "; got ", target->shape);
  const int64_t classes = input->shape[input->ndim() == 1 ? 0 : 1];
  const Tensor t = as_contiguous(cast(op, target, DType::i64));
  launch<value_check>(TargetRange<i64>{op, t->data<i64>(), t->numel(), classes, ignore_index});
  return t;
}

Tensor checked_weight(const char* op, const Tensor& weight, const Tensor& input, int64_t classes) {
  if (!weight) return weight;
  check(weight->ndim() == 1 && weight->shape[0] == classes, op, "expected weight of shape (", classes, ",); got ",
        weight->shape);
  check<TypeError>(weight->dtype == input->dtype, op, "expected weight of input's dtype ", name(input->dtype), "; got ",
                   name(weight->dtype));
  return as_contiguous(weight);
}

void check_input(const char* op, const Tensor& input) {
  check(input->ndim() >= 1, op, "expected input (C), (N, C) or (N, C, ...); got shape ", input->shape);
  check(input->shape[input->ndim() == 1 ? 0 : 1] > 0, op, "needs at least one class; got shape ", input->shape);
  visit_floating(op, "input", input->dtype, []<class T>() {});
}

template <class T>
T* ptr(const Tensor& t) {
  return t ? t->data<T>() : nullptr;
}

Tensor cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                     const std::string& reduction_name, double smoothing) {
  const char* op = "cross_entropy";
  const Reduction reduction = parse_reduction(op, reduction_name);
  check(smoothing >= 0 && smoothing <= 1, op, "label_smoothing must be in [0, 1]; got ", smoothing);
  check_input(op, input);
  const Tensor rows = class_rows(input);
  const int64_t n = rows->shape[0], classes = rows->shape[1];
  const Tensor w = checked_weight(op, weight, input, classes);
  Tensor labels, probabilities;
  if (is_floating(target->dtype)) {
    check(target->shape == input->shape, op, "expected probabilities of input's shape ", input->shape, "; got ",
          target->shape);
    check<TypeError>(target->dtype == input->dtype, op, "expected probabilities of input's dtype ", name(input->dtype),
                     "; got ", name(target->dtype));
    check<TypeError>(!target->requires_grad, op, "target: no gradient for probabilities; use detach()");
    probabilities = as_contiguous(class_rows(target));
  } else {
    labels = checked_targets(op, input, target, ignore_index);
  }
  const Tensor x = as_contiguous(rows);
  const bool want_gradient = needs_grad({&rows});
  const Tensor row_loss = empty({n}, x->dtype), dx = want_gradient ? empty(x->shape, x->dtype) : Tensor();
  const Tensor loss = reduction == Reduction::none ? Tensor() : empty({}, x->dtype);
  visit_floating(op, "input", x->dtype, [&]<class T>() {
    launch<kernel::cross_entropy>(CrossEntropyArgs<T>{n, classes, x->data<T>(), ptr<i64>(labels), ptr<T>(probabilities),
                                                      ptr<T>(w), ignore_index, static_cast<T>(smoothing), reduction,
                                                      row_loss->data<T>(), ptr<T>(loss), ptr<T>(dx)});
  });
  Tensor y = record(op, {&rows}, loss ? loss : row_loss, [&] {
    return [dx, n, classes, single = loss != nullptr](const Tensor& dy, Grads& grads) {
      const Tensor g = as_contiguous(dy);
      grads[0] = empty(dx->shape, dx->dtype);
      visit_floating("cross_entropy", "input", dx->dtype, [&]<class T>() {
        launch<kernel::scale_rows>(
            ScaleRowsArgs<T>{n, classes, dx->data<T>(), g->data<T>(), single, grads[0]->data<T>()});
      });
    };
  });
  return loss || input->ndim() == 2 ? y : reshape(y, target_shape(input));
}

Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                const std::string& reduction_name) {
  const char* op = "nll_loss";
  const Reduction reduction = parse_reduction(op, reduction_name);
  check_input(op, input);
  const Tensor rows = class_rows(input);
  const int64_t n = rows->shape[0], classes = rows->shape[1];
  const Tensor w = checked_weight(op, weight, input, classes);
  const Tensor labels = checked_targets(op, input, target, ignore_index);
  const Tensor x = as_contiguous(rows);
  const Tensor row_loss = empty({n}, x->dtype);
  const Tensor loss = reduction == Reduction::none ? Tensor() : empty({}, x->dtype);
  visit_floating(op, "input", x->dtype, [&]<class T>() {
    launch<kernel::nll_fwd>(NllFwdArgs<T>{n, classes, x->data<T>(), labels->data<i64>(), ptr<T>(w), ignore_index,
                                          reduction, row_loss->data<T>(), ptr<T>(loss)});
  });
  Tensor y = record(op, {&rows}, loss ? loss : row_loss, [&] {
    return [labels = Saved(labels), w, ignore_index, reduction, n, classes](const Tensor& dy, Grads& dx) {
      const Tensor g = as_contiguous(dy);
      dx[0] = empty({n, classes}, dy->dtype);
      visit_floating("nll_loss", "input", dy->dtype, [&]<class T>() {
        launch<kernel::nll_bwd>(NllBwdArgs<T>{n, classes, labels.get("nll_loss")->template data<i64>(), ptr<T>(w),
                                              ignore_index, reduction, g->data<T>(), dx[0]->data<T>()});
      });
    };
  });
  return loss || input->ndim() == 2 ? y : reshape(y, target_shape(input));
}

}  // namespace

void bind_cross_entropy(Module& m) {
  m.def("cross_entropy", &cross_entropy, required("input"), required("target"), py::arg("weight") = py::none(),
        py::arg("ignore_index") = -100, py::arg("reduction") = "mean", py::arg("label_smoothing") = 0.0, ReleaseGil(),
        "Cross-entropy of logits (N, C) or (N, C, ...) with integer classes (N, ...) or probabilities of input's "
        "shape; value and gradient in one pass. Raises an IndexError for a class out of range.");
  m.def("nll_loss", &nll_loss, required("input"), required("target"), py::arg("weight") = py::none(),
        py::arg("ignore_index") = -100, py::arg("reduction") = "mean", ReleaseGil(),
        "-weight[t] * input[t] for log-probabilities (N, C) or (N, C, ...) and integer classes (N, ...).");
}

}  // namespace fnn
