#include "autograd/tape.h"
#include "core/random.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

void fill_uniform(const Tensor& x, double low, double high) {
  visit_floating("uniform_", "tensor", x->dtype, [&]<class T>() {
    launch<kernel::random_uniform>(
        UniformArgs<T>{x->data<T>(), x->numel(), {}, static_cast<T>(low), static_cast<T>(high)},
        [](UniformArgs<T>& a) { a.key.value = reserve_random(a.n); });
  });
}

void fill_normal(const Tensor& x, double mean, double std) {
  visit_floating("normal_", "tensor", x->dtype, [&]<class T>() {
    launch<kernel::random_normal>(
        NormalArgs<T>{x->data<T>(), x->numel(), {}, static_cast<T>(mean), static_cast<T>(std)},
        [](NormalArgs<T>& a) { a.key.value = reserve_random(a.n); });
  });
}

// Random numbers go to elements in row-major order, whatever the layout.
template <class Fill>
Tensor in_place(const char* op, const Tensor& x, const Fill& fill) {
  begin_in_place(op, x);
  if (is_contiguous(*x)) {
    fill(x);
  } else {
    const Tensor values = empty(x->shape, x->dtype);
    fill(values);
    copy_into(x, values);
  }
  return x;
}

Tensor uniform_(const Tensor& x, double low, double high) {
  check(low <= high, "uniform_", "low must not exceed high; got ", low, " and ", high);
  return in_place("uniform_", x, [&](const Tensor& t) { fill_uniform(t, low, high); });
}

Tensor normal_(const Tensor& x, double mean, double std) {
  check(std >= 0, "normal_", "std must not be negative; got ", std);
  return in_place("normal_", x, [&](const Tensor& t) { fill_normal(t, mean, std); });
}

}  // namespace

void bind_random(Module& m) {
  TensorClass cls(m.attr("Tensor"));
  cls.def("uniform_", &uniform_, py::arg("low") = 0.0, py::arg("high") = 1.0, ReleaseGil(),
          "Fills the tensor, in place, from the uniform distribution on [low, high).");
  cls.def("normal_", &normal_, py::arg("mean") = 0.0, py::arg("std") = 1.0, ReleaseGil(),
          "Fills the tensor, in place, from the normal distribution.");
  m.def(
      "manual_seed",
      [](uint64_t seed) {
        refuse_while_recording("manual_seed()");
        manual_seed(seed);
      },
      py::arg("seed"), "Restarts the random generator: the same seed gives the same numbers on every machine.");
  m.def("initial_seed", &initial_seed, "The seed that the generator was last started with.");
  m.def(
      "get_rng_state",
      [] {
        const PhiloxKey state = random_state();
        return py::make_tuple(state.seed, state.offset);
      },
      "(seed, offset) of the random generator, which stand for all that it will draw.");
  m.def(
      "set_rng_state",
      [](const std::pair<uint64_t, uint64_t>& state) {
        refuse_while_recording("set_rng_state()");
        set_random_state({state.first, state.second});
      },
      py::arg("state"), "Goes on from what get_rng_state() gave.");
}

}  // namespace fnn
