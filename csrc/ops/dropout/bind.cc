#include "autograd/tape.h"
#include "core/random.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

// Forward draws the key of the mask, backward takes the same.
using SharedKey = std::shared_ptr<PhiloxKey>;

Tensor apply_mask(const Tensor& x, double p, const SharedKey& key, bool draw) {
  Tensor y = empty_like(x);
  visit_floating("dropout", "input", x->dtype, [&]<class T>() {
    launch<kernel::dropout>(DropoutArgs<T>{x->data<T>(), y->data<T>(), x->numel(), {}, p},
                            [key, draw](DropoutArgs<T>& a) {
                              if (draw) *key = reserve_random(a.n);
                              a.key.value = *key;
                            });
  });
  return y;
}

Tensor dropout(const Tensor& input, double p, bool training) {
  check(p >= 0 && p <= 1, "dropout", "p must be in [0, 1]; got ", p);
  visit_floating("dropout", "input", input->dtype, []<class T>() {});
  if (!training || p == 0) return input;
  const Tensor x = as_dense(input);
  const auto key = std::make_shared<PhiloxKey>();
  return record("dropout", {&input}, apply_mask(x, p, key, true), [&] {
    return [p, key, strides = x->strides](const Tensor& dy, Grads& dx) {
      dx[0] = apply_mask(as_strided_like(dy, strides), p, key, false);
    };
  });
}

}  // namespace

void bind_dropout(Module& m) {
  m.def("dropout", &dropout, required("input"), py::arg("p") = 0.5, py::arg("training") = true, ReleaseGil(),
        "While training, zeroes each element with probability p and scales the others by 1 / (1 - p); the mask depends "
        "on the seed alone, not on the number of threads.");
}

}  // namespace fnn
