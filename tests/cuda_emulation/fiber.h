// A stack of its own to run a function on, and the switch from one stack to another.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulation {

class Fiber {
 public:
  Fiber() = default;  // the one that runs already
  // `number` spreads the stacks over the lines of the processor's cache.
  Fiber(void (*body)(), size_t number);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Goes on where `to` stands, and comes back when somebody switches to this one. A body never returns.
  void switch_to(Fiber& to);
  static Fiber* running();

 private:
  static void begin();

  void (*body_)() = nullptr;
  const void* bottom_ = nullptr;  // of its stack, as AddressSanitizer wants to know it
  size_t size_ = 0;
  void* fake_stack_ = nullptr;
#if defined(__x86_64__)
  void* top_ = nullptr;  // where the registers are kept while it waits
#else
  ucontext_t context_;
#endif
};

}  // namespace emulation
