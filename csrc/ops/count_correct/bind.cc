#include "ops/count_correct/args.h"

#include "ops/copy/op.h"
#include "plan/launch.h"
#include "python/casters.h"

namespace fnn {
namespace {

Tensor count_correct(const Tensor& input, const Tensor& target, int64_t ignore_index) {
  check(input->ndim() == 2 && input->shape[1] > 0, "count_correct", "expected input (N, C); got ", input->shape);
  check(target->ndim() == 1 && target->shape[0] == input->shape[0], "count_correct", "expected target (",
        input->shape[0], ",); got ", target->shape);
  check<TypeError>(target->dtype == DType::i64, "count_correct", "target must be int64; got ", name(target->dtype));
  const Tensor x = as_contiguous(input), t = as_contiguous(target), count = empty({}, DType::i64);
  visit_floating("count_correct", "input", x->dtype, [&]<class T>() {
    launch<kernel::count_correct>(
        CountCorrectArgs<T>{x->shape[0], x->shape[1], ignore_index, x->data<T>(), t->data<i64>(), count->data<i64>()});
  });
  return count;
}

}  // namespace

void bind_count_correct(Module& m) {
  m.def("count_correct", &count_correct, required("input"), required("target"), py::arg("ignore_index") = -100,
        ReleaseGil(),
        "How many rows of input (N, C) have their largest value, the first of equal ones, at target (N). Rows whose "
        "target is ignore_index do not count.");
}

}  // namespace fnn
