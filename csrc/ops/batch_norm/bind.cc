#include "autograd/tape.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "ops/view/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

// (N, C), (N, C, L) or (N, C, H, W) in memory as rows of channels.
Tensor channels_innermost(const Tensor& x) {
  if (x->ndim() == 4) return as_channels_last(x);
  if (x->ndim() == 2) return as_contiguous(x);
  return as_strided_like(x, {x->shape[1] * x->shape[2], 1, x->shape[1]});
}

Tensor batch_norm(const Tensor& input, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                  const Tensor& bias, bool training, double momentum, double eps) {
  const char* op = "batch_norm";
  check(input->ndim() >= 2 && input->ndim() <= 4, op, "expected input (N, C), (N, C, L) or (N, C, H, W); got shape ",
        input->shape);
  visit_floating(op, "input", input->dtype, []<class T>() {});
  const int64_t c = input->shape[1], rows = c > 0 ? input->numel() / c : 0;
  const std::pair<const char*, const Tensor*> vectors[] = {
      {"running_mean", &running_mean}, {"running_var", &running_var}, {"weight", &weight}, {"bias", &bias}};
  for (const auto& [arg, t] : vectors) {
    if (!*t) continue;
    check((*t)->ndim() == 1 && (*t)->shape[0] == c, op, "expected ", arg, " of shape (", c, ",); got ", (*t)->shape);
    check<TypeError>((*t)->dtype == input->dtype, op, "expected ", arg, " of input's dtype ", name(input->dtype),
                     "; got ", name((*t)->dtype));
  }
  check(training || (running_mean && running_var), op, "running_mean and running_var are needed while evaluating");
  check(!training || rows > 1, op, "expected more than one value a channel while training; got input of shape ",
        input->shape);
  check(eps >= 0, op, "eps must not be negative; got ", eps);
  for (const Tensor* t : {&running_mean, &running_var})
    if (training && *t) {
      check(is_contiguous(**t), op, "running statistics must be contiguous, as they are updated in place");
      check_in_place(op, *t);
    }
  for (const Tensor* t : {&running_mean, &running_var})
    if (training && *t) begin_in_place(op, *t);

  const Tensor x = channels_innermost(input), y = empty_strided(x->shape, x->strides, x->dtype);
  const Tensor w = weight ? as_contiguous(weight) : weight, b = bias ? as_contiguous(bias) : bias;
  const Tensor mean = empty({c}, x->dtype), inverse_std = empty({c}, x->dtype);
  const Tensor old_mean = running_mean ? as_contiguous(running_mean) : Tensor();
  const Tensor old_var = running_var ? as_contiguous(running_var) : Tensor();
  visit_floating(op, "input", x->dtype, [&]<class T>() {
    const auto ptr = [](const Tensor& t) { return t ? t->data<T>() : nullptr; };
    launch<kernel::batch_norm_fwd>(BatchNormFwdArgs<T>{rows, c, ptr(x), ptr(w), ptr(b), ptr(y), ptr(mean),
                                                       ptr(inverse_std), ptr(old_mean), ptr(old_var), training,
                                                       static_cast<T>(momentum), static_cast<T>(eps)});
  });
  return record(op, {&input, &weight, &bias}, y, [&] {
    return [op, rows, c, training, sx = Saved(x), sw = w ? Saved(w) : Saved(), has_w = w != nullptr, mean, inverse_std](
               const Tensor& dy, Grads& dx) {
      const Tensor& x = sx.get(op);
      const Tensor w = has_w ? sw.get(op) : Tensor();
      const Tensor g = as_strided_like(dy, x->strides);
      if (dx.needs(0)) dx[0] = empty_strided(x->shape, x->strides, x->dtype);
      dx[1] = empty({c}, x->dtype);
      dx[2] = empty({c}, x->dtype);
      visit_floating(op, "input", x->dtype, [&]<class T>() {
        const auto ptr = [](const Tensor& t) { return t ? t->data<T>() : nullptr; };
        launch<kernel::batch_norm_bwd>(BatchNormBwdArgs<T>{rows, c, ptr(x), ptr(w), ptr(mean), ptr(inverse_std), ptr(g),
                                                           ptr(dx[0]), ptr(dx[1]), ptr(dx[2]), training});
      });
    };
  });
}

}  // namespace

void bind_batch_norm(Module& m) {
  m.def("batch_norm", &batch_norm, required("input"), py::arg("running_mean") = py::none(),
        py::arg("running_var") = py::none(), py::arg("weight") = py::none(), py::arg("bias") = py::none(),
        py::arg("training") = false, py::arg("momentum") = 0.1, py::arg("eps") = 1e-5, ReleaseGil(),
        "Normalises each channel of (N, C), (N, C, L) or (N, C, H, W), by the batch's statistics while training "
        "(moving the running ones, in place, towards them) and by the running ones otherwise.");
}

}  // namespace fnn
