// Devices: which one this thread works on, and what the extension needs of GPUs. Everything
// here about GPUs goes through libfastnn_cuda.so, which the first use of one loads.
#pragma once

#include <memory>
#include <string>

#include "core/error.h"
#include "core/stream.h"
#include "cuda/backend.h"

namespace fnn {

// Memory ran out on a GPU; Python's fn.cuda.OutOfMemoryError.
struct OutOfMemoryError : RuntimeError {
  using RuntimeError::RuntimeError;
};

inline bool is_cpu(Device d) { return d.gpu < 0; }
inline bool operator==(Device a, Device b) { return a.gpu == b.gpu || (a.gpu < 0 && b.gpu < 0); }
std::string name(Device d);  // "cpu", "cuda:0"
// "cpu", "cuda:<number>" or "cuda", the first GPU; raises a ValueError for other names. Loads nothing.
Device parse_device(const char* op, const std::string& name);

// Where factories make tensors when they are not told.
Device default_device();
void set_default_device(Device d);

// The stream that this thread's work goes to; null for the CPU. Guards set it.
extern thread_local Stream* gpu_stream __attribute__((tls_model("initial-exec")));

inline Stream& active_stream() { return gpu_stream ? *gpu_stream : cpu_stream(); }

// Work of this thread goes to a device as long as it lives. Each binding that takes tensors
// has one (python/boundary.h), and each step of backward.
class DeviceGuard {
 public:
  explicit DeviceGuard(Device d) : before_(gpu_stream) {
    if (gpu_stream || !is_cpu(d)) [[unlikely]]
      enter(d);
  }
  ~DeviceGuard() {
    if (gpu_stream != before_) [[unlikely]]
      leave();
  }
  DeviceGuard(const DeviceGuard&) = delete;

 private:
  void enter(Device d);
  void leave();

  Stream* before_;
};

// The library. Raises a RuntimeError that says why no GPU can be used.
const CudaBackend& backend();
// Whether there is one; loads nothing.
bool cuda_is_built();
// Of GPUs that can be used, at least 1; raises as backend() does.
int gpu_count();
// An error of the library as one of Python's, named after the operation.
[[noreturn]] void rethrow(const char* op, const CudaFailure& e);
// f(backend()), for the operation.
template <class F>
decltype(auto) on_gpu(const char* op, const F& f) {
  try {
    return f(backend());
  } catch (const CudaFailure& e) {
    rethrow(op, e);
  }
}
// The stream that this thread has chosen on a GPU.
Stream& current_stream(int gpu);
void set_current_stream(Stream& s);

// Of the device that this thread works on:
std::shared_ptr<void> allocate_on(Stream& s, size_t bytes);
void download(void* to, const void* from, size_t bytes);  // waits
void synchronize(const Stream& s);
void upload(void* to, const void* from, size_t bytes);  // `from` may change afterwards
void copy_between_gpus(void* to, Device y, const void* from, Device x, size_t bytes);
// Work of this thread uses memory that was allocated for another stream, or the CPU's.
void used_elsewhere(Stream* owner, void* block);

}  // namespace fnn
