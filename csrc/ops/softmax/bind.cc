#include "autograd/tape.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "ops/view/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

Tensor softmax_rows(const char* op, const Tensor& input, bool log) {
  const Tensor x = as_contiguous(input);
  const Tensor y = empty(x->shape, x->dtype);
  const int64_t n = x->shape.back(), rows = n > 0 ? x->numel() / n : 0;
  visit_floating(op, "input", x->dtype, [&]<class T>() {
    launch<kernel::softmax_fwd>(SoftmaxFwdArgs<T>{x->data<T>(), y->data<T>(), rows, n, log});
  });
  return record(op, {&input}, y, [&] {
    return [op, log, rows, n, sy = Saved(y)](const Tensor& dy, Grads& dx) {
      const Tensor& y = sy.get(op);
      const Tensor g = as_contiguous(dy);
      dx[0] = empty(y->shape, y->dtype);
      visit_floating(op, "input", y->dtype, [&]<class T>() {
        launch<kernel::softmax_bwd>(SoftmaxBwdArgs<T>{y->data<T>(), g->data<T>(), dx[0]->data<T>(), rows, n, log});
      });
    };
  });
}

template <bool log>
Tensor softmax(const Tensor& input, int64_t dim) {
  const char* op = log ? "log_softmax" : "softmax";
  check(input->ndim() > 0, op, "needs at least one dimension");
  const int at = normalize_dim(op, dim, input->ndim()), last = input->ndim() - 1;
  if (at == last) return softmax_rows(op, input, log);
  return transpose(softmax_rows(op, transpose(input, at, last), log), at, last);
}

}  // namespace

void bind_softmax(Module& m) {
  def_op(m, "softmax", &softmax<false>, "exp(input) / its sum along dim.", py::arg("dim"));
  def_op(m, "log_softmax", &softmax<true>, "Logarithm of softmax(input, dim), without overflow.", py::arg("dim"));
}

}  // namespace fnn
