#include "ops/fma_loop/args.h"

#include <chrono>

#include "core/threads.h"
#include "ops/copy/op.h"
#include "plan/launch.h"
#include "python/casters.h"

namespace fnn {
namespace {

Tensor fma_loop(const Tensor& input, int64_t rounds, double factor, double term) {
  check(rounds >= 0, "fma_loop", "rounds must not be negative; got ", rounds);
  const Tensor x = as_dense(input), y = empty_like(x);
  visit_floating("fma_loop", "input", x->dtype, [&]<class T>() {
    launch<kernel::fma_loop>(
        FmaLoopArgs<T>{x->data<T>(), y->data<T>(), x->numel(), rounds, static_cast<T>(factor), static_cast<T>(term)});
  });
  return y;
}

// The best of several runs, since other work on the machine only ever slows one down.
double peak_flops(double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kRounds = 50000;
  const Tensor x = full({num_threads() * int64_t{12 * 16}}, DType::f32, 1);
  double best = 0;
  const auto begin = Clock::now();
  do {
    const auto start = Clock::now();
    fma_loop(x, kRounds, 1, 0);
    const double took = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, 2.0 * static_cast<double>(x->numel() * kRounds) / took);
  } while (std::chrono::duration<double>(Clock::now() - begin).count() < seconds);
  return best;
}

}  // namespace

void bind_fma_loop(Module& m) {
  m.def("fma_loop", &fma_loop, required("input"), py::arg("rounds"), py::arg("factor"), py::arg("term"), ReleaseGil(),
        "input after `rounds` times x = x * factor + term; not on the tape.");
  m.def("peak_flops", &peak_flops, py::arg("seconds") = 0.1, ReleaseGil(),
        "float32 operations a second of multiply-adds in registers, on all threads: what kernels are measured by.");
}

}  // namespace fnn
