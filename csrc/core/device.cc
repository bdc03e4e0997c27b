#include "core/device.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <vector>

#include "isa/kernels.h"

namespace fnn {

thread_local Stream* gpu_stream = nullptr;

namespace {

constexpr const char* kLibrary = "libfastnn_cuda.so";

thread_local std::vector<Stream*> chosen;  // by GPU; null where this thread has chosen none
std::atomic<int> default_gpu{-1};
std::atomic<bool> live{false};    // CUDA runs in this process,
std::atomic<bool> forked{false};  // or in the one that it was forked from

// The folder that this very code was loaded from.
std::string own_folder() {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&own_folder), &info);
  const std::string path = info.dli_fname ? info.dli_fname : "";
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

const CudaBackend& load() {
  const std::string path = own_folder() + kLibrary;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const std::string why = dlerror();
    const bool missing = why.find("No such file") != std::string::npos && why.find(path) == 0;
    fail<RuntimeError>("cuda", missing ? text("this build of fastnn has no CUDA library (", kLibrary,
                                              "): it was made without nvcc, or with FASTNN_CUDA=OFF")
                                       : why);
  }
  const auto entry = reinterpret_cast<decltype(&fnn_cuda_backend)>(dlsym(library, "fnn_cuda_backend"));
  check<RuntimeError>(entry != nullptr, "cuda", path, " is no CUDA library of fastnn");
  const CudaLibrary found = entry();
  check<RuntimeError>(found.kernels == sizeof(KernelTable) && found.stream == sizeof(Stream), "cuda", path,
                      " belongs to another build of fastnn");
  pthread_atfork(nullptr, nullptr, [] { forked = live.load(); });
  return *found.backend;
}

}  // namespace

bool cuda_is_built() { return access((own_folder() + kLibrary).c_str(), F_OK) == 0; }

std::string name(Device d) { return is_cpu(d) ? "cpu" : text("cuda:", d.gpu); }

Device parse_device(const char* op, const std::string& name) {
  if (name == "cpu" || name == "cpu:0") return {};
  if (name == "cuda") return {0};
  if (name.rfind("cuda:", 0) == 0) {
    int gpu = -1;
    const char *begin = name.data() + 5, *end = name.data() + name.size();
    if (const auto [stop, error] = std::from_chars(begin, end, gpu); error == std::errc() && stop == end && gpu >= 0)
      return {gpu};
  }
  fail(op, "unknown device '", name, "'; expected 'cpu', 'cuda' or 'cuda:<number>'");
}

Device default_device() { return {default_gpu}; }
void set_default_device(Device d) {
  if (!is_cpu(d)) current_stream(d.gpu);  // raises when there is no such GPU
  default_gpu = d.gpu;
}

const CudaBackend& backend() {
  static const CudaBackend& loaded = load();
  check<RuntimeError>(!forked, "cuda",
                      "a process that was forked from one that uses CUDA cannot use it: start it with the 'spawn' "
                      "method (multiprocessing.get_context('spawn'))");
  return loaded;
}

int gpu_count() {
  static std::atomic<int> count{0};  // 0 before it is known
  if (count == 0 || forked) {
    const int n = on_gpu("cuda", [](const CudaBackend& b) { return b.device_count(); });
    live = true;
    count = n;
  }
  return count;
}

void rethrow(const char* op, const CudaFailure& e) {
  if (e.out_of_memory) fail<OutOfMemoryError>(op, e.what);
  fail<RuntimeError>(op, e.what);
}

Stream& current_stream(int gpu) {
  const auto i = static_cast<size_t>(gpu);
  if (i < chosen.size() && chosen[i] && !forked) return *chosen[i];
  const int count = gpu_count();
  check<RuntimeError>(gpu < count, "cuda", "there is no GPU ", gpu, ": the machine has ", count);
  return on_gpu("cuda", [gpu](const CudaBackend& b) -> Stream& { return b.default_stream(gpu); });
}

void set_current_stream(Stream& s) {
  const auto i = static_cast<size_t>(s.device.gpu);
  if (chosen.size() <= i) chosen.resize(i + 1, nullptr);
  chosen[i] = &s;
}

void DeviceGuard::enter(Device d) {
  if (is_cpu(d)) {
    gpu_stream = nullptr;
    return;
  }
  Stream& s = current_stream(d.gpu);
  on_gpu("cuda", [&](const CudaBackend& b) { b.select(s); });
  gpu_stream = &s;
}

void DeviceGuard::leave() {
  gpu_stream = before_;
  if (!before_ || forked) return;
  try {
    backend().select(*before_);
  } catch (const CudaFailure&) {  // the next call of CUDA says it
  }
}

std::shared_ptr<void> allocate_on(Stream& s, size_t bytes) {
  return on_gpu("empty", [&](const CudaBackend& b) {
    return std::shared_ptr<void>(b.allocate(s, bytes), [&b](void* p) {
      if (!forked) b.release(p);
    });
  });
}

void download(void* to, const void* from, size_t bytes) {
  on_gpu("to", [&](const CudaBackend& b) { b.download(*gpu_stream, to, from, bytes); });
}

void synchronize(const Stream& s) {
  on_gpu("cuda", [&](const CudaBackend& b) { b.synchronize(s); });
}

void upload(void* to, const void* from, size_t bytes) {
  on_gpu("to", [&](const CudaBackend& b) { b.upload(*gpu_stream, to, from, bytes); });
}

void copy_between_gpus(void* to, Device y, const void* from, Device x, size_t bytes) {
  on_gpu("to", [&](const CudaBackend& b) {
    // On the stream of x, which waits until y's memory is free to be written to.
    const Stream &source = current_stream(x.gpu), &target = current_stream(y.gpu);
    b.select(source);
    if (&source != &target) b.wait(source, target);
    b.copy(source, to, from, bytes);
    if (&source != &target) b.wait(target, source);
    if (gpu_stream) b.select(*gpu_stream);
  });
}

void used_elsewhere(Stream* owner, void* block) {
  if (owner && owner->device == gpu_stream->device)
    on_gpu("cuda", [&](const CudaBackend& b) { b.used(block, *gpu_stream); });
}

}  // namespace fnn
