// What a kernel is given to run on. Seen by the per-instruction-set code too, so
// only declarations and templates over the caller's own types may stand here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace fnn {

struct Device {
  int gpu = -1;  // its number; below 0 for the CPU
};

struct Stream {
  int threads;  // how many may work on one kernel
  Device device;
  void* native = nullptr;  // the cudaStream_t; null is CUDA's default stream too

  // Calls task(context, i) for every i in [0, tasks), on the pool when that pays.
  void run(int64_t tasks, void (*task)(void*, int64_t), void* context);

  // Bytes that live until the kernel returns, 64-byte aligned; a kernel asks once.
  void* workspace(size_t bytes);
  // The same for one task of a kernel: belongs to the calling thread.
  static void* thread_workspace(size_t bytes);
};

Stream& cpu_stream();

// f(begin, end) over [0, n) in chunks of `grain`: the chunks, and so the result,
// do not depend on the number of threads.
template <class F>
void parallel_for(Stream& s, int64_t n, int64_t grain, const F& f) {
  if (n <= 0) return;
  if (n <= grain) return f(0, n);
  struct Context {
    const F& f;
    int64_t n, grain;
  } context{f, n, grain};
  s.run((n + grain - 1) / grain,
        [](void* p, int64_t i) {
          const Context& c = *static_cast<Context*>(p);
          const int64_t begin = i * c.grain, end = begin + c.grain;
          c.f(begin, end < c.n ? end : c.n);
        },
        &context);
}

}  // namespace fnn
