// Starting kernels: the one place that all of them pass, eager or recorded.
#pragma once

#include "core/device.h"
#include "isa/kernels.h"
#include "plan/recorder.h"

namespace fnn {

template <class Args>
[[gnu::noinline]] void run_on_gpu(Stream& s, const char* label, Kernel<Args> KernelTable::* row, const Args& args) {
  on_gpu(label, [&](const CudaBackend& b) {
    (b.kernels().*row)(s, args);
    b.launched(s);
  });
}

// kernel::relu_fwd and so on: tags to launch the rows of the table by.
namespace kernel {
#define FNN_RUN(name, Args, T)                            \
  static void run(Stream& s, const Args<T>& args) {       \
    if (is_cpu(s.device)) [[likely]]                      \
      return kernels().name##_##T(s, args);               \
    run_on_gpu(s, label, &KernelTable::name##_##T, args); \
  }
#define FNN_KERNEL(name, Args, ...)                \
  struct name {                                    \
    static constexpr const char* label = #name;    \
    static constexpr bool is_check = false;        \
    FNN_FOR_EACH(FNN_RUN, name, Args, __VA_ARGS__) \
  };
#include "fnn_kernels.inc"
#undef FNN_KERNEL
#undef FNN_RUN
}  // namespace kernel

// The tag to launch a check of values by; a replay repeats it. The arguments say what they
// want, as range(), a FindOutsideArgs, and raise in refuse(value) when a value is not that.
struct value_check {
  static constexpr const char* label = "check";
  static constexpr bool is_check = true;
  template <template <class> class Args, class T>
  static void run(Stream& s, const Args<T>& args) {
    FindOutsideArgs<T> range = args.range();
    if (!is_cpu(s.device)) [[unlikely]]
      return run_on_gpu(s, range, args);
    int64_t first;
    range.first = &first;
    kernel::find_outside::run(s, range);
    if (first < range.n) args.refuse(range.x[first]);
  }

 private:
  template <template <class> class Args, class T>
  static void run_on_gpu(Stream& s, FindOutsideArgs<T> range, const Args<T>& args) {
    const std::shared_ptr<void> found = allocate_on(s, sizeof(int64_t));
    range.first = static_cast<int64_t*>(found.get());
    kernel::find_outside::run(s, range);
    int64_t first;
    download(&first, range.first, sizeof first);
    if (first >= range.n) return;
    T value;
    download(&value, range.x + first, sizeof value);
    args.refuse(value);
  }
};

template <class K, template <class> class Args, class T>
void launch(const Args<T>& args) {
  K::run(active_stream(), args);
  if (observer) Recorder::active()->add({&kernel_info<K, Args, T>, Op::keep(args), {}});
}

// `slot(args)` fills in what changes from step to step, now and before every replay.
template <class K, template <class> class Args, class T, class F>
void launch(Args<T>&& args, const F& slot) {
  slot(args);
  K::run(active_stream(), args);
  if (!observer) return;
  Op op{&kernel_info<K, Args, T>, Op::keep(args), [slot](void* args) { slot(*static_cast<Args<T>*>(args)); }};
  op.changes = Changes(op.as<K, Args, T>()->changing());
  Recorder::active()->add(std::move(op));
}

}  // namespace fnn
