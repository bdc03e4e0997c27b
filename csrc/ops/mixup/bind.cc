#include <cmath>

#include "autograd/tape.h"
#include "core/random.h"
#include "ops/copy/op.h"
#include "ops/mixup/args.h"
#include "plan/launch.h"
#include "python/casters.h"

namespace fnn {
namespace {

template <class T>
struct LabelRange {
  const T* target;  // (n)
  int64_t n, classes;

  FindOutsideArgs<T> range() const { return {target, n, 0, classes - 1, false, 0}; }
  void refuse(T value) const {
    fail<IndexError>("mixup", "target ", value, " is out of range for ", classes, " classes");
  }
  template <class V>
  void visit(V& v) {
    v.in(target, n);
  }
};

// Examples draw the key, targets take the same.
using SharedKey = std::shared_ptr<PhiloxKey>;

Tensor mix_rows(const Tensor& input, const Mixing& mixing, const SharedKey& key, bool draw) {
  const bool last = input->ndim() == 4 && is_channels_last(*input) && !is_contiguous(*input);
  const Tensor x = last ? as_channels_last(input) : as_contiguous(input), y = empty_like(x);
  visit_floating("mixup", "input", x->dtype, [&]<class T>() {
    launch<kernel::mix_rows>(MixRowsArgs<T>{x->data<T>(), y->data<T>(), x->numel() / (mixing.n ? mixing.n : 1), mixing},
                             [key, draw](MixRowsArgs<T>& a) {
                               if (draw) *key = reserve_random(a.mixing.words());
                               a.mixing.key.value = *key;
                             });
  });
  return y;
}

Tensor mix_labels(const Tensor& target, int64_t classes, DType dtype, const Mixing& mixing, const SharedKey& key) {
  const Tensor t = as_contiguous(target), y = empty({mixing.n, classes}, dtype);
  launch<value_check>(LabelRange<i64>{t->data<i64>(), mixing.n, classes});
  visit_floating("mixup", "input", dtype, [&]<class T>() {
    launch<kernel::mix_labels>(MixLabelsArgs<T>{t->data<i64>(), y->data<T>(), classes, mixing},
                               [key](MixLabelsArgs<T>& a) { a.mixing.key.value = *key; });
  });
  return y;
}

std::pair<Tensor, Tensor> mixup(const Tensor& input, const Tensor& target, double alpha, int64_t num_classes,
                                bool per_example) {
  visit_floating("mixup", "input", input->dtype, []<class T>() {});
  check(input->ndim() > 0, "mixup", "expected input (N, ...); got shape ", input->shape);
  check(alpha > 0 && std::isfinite(alpha), "mixup", "alpha must be above 0; got ", alpha);
  check(num_classes > 0, "mixup", "num_classes must be at least 1; got ", num_classes);
  check<TypeError>(!needs_grad({&input, &target}), "mixup", "there is no gradient here: augment data, or use detach()");
  const int64_t n = input->shape[0];
  const bool labels = target->dtype == DType::i64;
  check<TypeError>(labels || target->dtype == input->dtype, "mixup", "target must be int64, or of input's dtype ",
                   name(input->dtype), "; got ", name(target->dtype));
  const Dims wanted = labels ? Dims{n} : Dims{n, num_classes};
  check(target->shape == wanted, "mixup", "expected target of shape ", wanted, " for input ", input->shape, "; got ",
        target->shape);
  const auto key = std::make_shared<PhiloxKey>();
  const Mixing mixing{n, {}, alpha, per_example};
  const Tensor x = mix_rows(input, mixing, key, true);
  return {x,
          labels ? mix_labels(target, num_classes, input->dtype, mixing, key) : mix_rows(target, mixing, key, false)};
}

}  // namespace

void bind_mixup(Module& m) {
  m.def("mixup", &mixup, required("input"), required("target"), py::arg("alpha"), py::arg("num_classes"),
        py::arg("per_example") = false, ReleaseGil(),
        "Each example of input (N, ...) mixed with another one of the batch, share and 1 - share, and its target (N) "
        "or (N, num_classes) as (N, num_classes); share ~ Beta(alpha, alpha), one a batch or one an example.");
}

}  // namespace fnn
