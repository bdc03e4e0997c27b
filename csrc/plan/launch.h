// Starting kernels: the one place that all of them pass, eager or recorded.
#pragma once

#include "isa/kernels.h"
#include "plan/recorder.h"

namespace fnn {

// kernel::relu_fwd and so on: tags to launch the rows of the table by.
namespace kernel {
#define FNN_RUN(name, Args, T) \
  static void run(Stream& s, const Args<T>& args) { kernels().name##_##T(s, args); }
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

// The tag to launch a check of values by, as args.check(): a replay repeats it.
struct value_check {
  static constexpr const char* label = "check";
  static constexpr bool is_check = true;
  template <class Args>
  static void run(Stream&, const Args& args) {
    args.check();
  }
};

template <class K, template <class> class Args, class T>
void launch(const Args<T>& args) {
  K::run(cpu_stream(), args);
  if (observer) Recorder::active()->add({&kernel_info<K, Args, T>, Op::keep(args), {}});
}

// `slot(args)` fills in what changes from step to step, now and before every replay.
template <class K, template <class> class Args, class T, class F>
void launch(Args<T> args, const F& slot) {
  slot(args);
  K::run(cpu_stream(), args);
  if (observer)
    Recorder::active()->add(
        {&kernel_info<K, Args, T>, Op::keep(args), [slot](void* args) { slot(*static_cast<Args<T>*>(args)); }});
}

}  // namespace fnn
