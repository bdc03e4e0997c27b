#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 256 << 10;  // instrumented, frames are several times as large
#else
constexpr size_t kStackBytes = 64 << 10;
#endif
constexpr size_t kPage = 4096;

Fiber *current, *previous;  // for all threads of the process: one of them runs kernels at a time

}  // namespace

#if defined(__x86_64__)
// Keeps the registers that a called function must not change, and takes the other stack's.
extern "C" void fnn_switch_stack(void** from, void* to);
asm(R"(
.text
.globl fnn_switch_stack
.hidden fnn_switch_stack
.type fnn_switch_stack, @function
fnn_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size fnn_switch_stack, . - fnn_switch_stack
)");
#endif

Fiber::Fiber(void (*body)(), size_t number) : body_(body) {
  // The page at the end stays unreadable: a stack that overflows is a fault.
  char* stack = static_cast<char*>(
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (stack == MAP_FAILED || mprotect(stack, kPage, PROT_NONE) != 0) {
    std::perror("emulated CUDA: no memory for a thread's stack");
    std::abort();
  }
  bottom_ = stack + kPage;
  size_ = kStackBytes - kPage;
  const size_t shift = number * 320 % (2 * kPage) / 16 * 16;
#if defined(__x86_64__)
  auto** top = reinterpret_cast<void**>(stack + kStackBytes - shift);
  *--top = nullptr;  // alignment, as after a call
  *--top = reinterpret_cast<void*>(&begin);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  top_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack + kPage;
  context_.uc_stack.ss_size = size_ - shift;
  context_.uc_link = nullptr;
  makecontext(&context_, &begin, 0);
#endif
}

void Fiber::switch_to(Fiber& to) {
  previous = this;
  current = &to;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, to.bottom_, to.size_);
#endif
#if defined(__x86_64__)
  fnn_switch_stack(&top_, to.top_);
#else
  swapcontext(&context_, &to.context_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &previous->bottom_, &previous->size_);
#endif
}

Fiber* Fiber::running() { return current; }

void Fiber::begin() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &previous->bottom_, &previous->size_);
#endif
  current->body_();
}

}  // namespace emulation
