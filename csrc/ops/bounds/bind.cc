#include "ops/bounds/args.h"

#include <optional>

#include "ops/copy/op.h"
#include "plan/launch.h"
#include "python/casters.h"

namespace fnn {
namespace {

Tensor find_outside(const Tensor& input, const Scalar& lowest, const Scalar& highest,
                    const std::optional<Scalar>& ignored) {
  const Tensor x = as_contiguous(input), first = empty({}, DType::i64);
  visit_all(x->dtype, [&]<class T>() {
    const auto value = [](const Scalar& s) { return s.is_float ? static_cast<T>(s.value) : static_cast<T>(s.integer); };
    launch<kernel::find_outside>(FindOutsideArgs<T>{x->data<T>(), x->numel(), value(lowest), value(highest),
                                                    ignored.has_value(), value(ignored.value_or(Scalar{})),
                                                    first->data<i64>()});
  });
  return first;
}

}  // namespace

void bind_bounds(Module& m) {
  m.def("find_outside", &find_outside, required("input"), py::arg("lowest"), py::arg("highest"),
        py::arg("ignored") = py::none(), ReleaseGil(),
        "Where, in row-major order, the first value stands that is not in [lowest, highest] and is not `ignored`; the "
        "number of elements when there is none. The bounds are cast to the dtype of input.");
}

}  // namespace fnn
