// The library's one entry: GPUs, streams and events.
#include <dlfcn.h>

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include "cuda/kernel.cuh"
#include "cuda/runtime.h"
#include "isa/kernels.h"

namespace fnn::cuda {
namespace {

constexpr int kMaxGpus = 64;

std::string built_for() {
  std::string text;
#if defined(__CUDA_ARCH_LIST__)
  for (const int arch : {__CUDA_ARCH_LIST__}) text += (text.empty() ? "sm_" : ", sm_") + std::to_string(arch / 10);
#endif
  return text;
}

__global__ void probe() {}

struct Gpu {
  std::once_flag once;
  std::string unusable;
  Stream stream{0, {}, nullptr};
  std::mutex mutex;
  std::vector<Stream*> idle;  // streams that were given back
};

Gpu& gpu_at(int gpu) {
  static auto* all = new std::array<Gpu, kMaxGpus>;
  return (*all)[static_cast<size_t>(gpu)];
}

std::string version(int v) { return std::to_string(v / 1000) + '.' + std::to_string(v % 1000 / 10); }

// What the driver knows of CUDA; 0 when there is none. The runtime says 0 of very old ones too.
int driver_version() {
  int found = 0;
  if (cudaDriverGetVersion(&found) == cudaSuccess && found > 0) return found;
  cudaGetLastError();
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (!driver) return 0;
  const auto ask = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDriverGetVersion"));
  if (!ask || ask(&found) != 0) found = 1;
  dlclose(driver);
  return found;
}

cudaEvent_t event_of(void* e) { return static_cast<cudaEvent_t>(e); }

bool done(cudaError_t state) {
  if (state == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check(state, "running what came before");
  return true;
}

class Backend final : public CudaBackend {
 public:
  const KernelTable& kernels() const override { return table; }

  int device_count() const override {
    int count = 0, runtime = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    if (code == cudaSuccess && count > 0) return count < kMaxGpus ? count : kMaxGpus;
    cudaGetLastError();
    const int driver = driver_version();
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) throw CudaFailure{"there is no NVIDIA driver: libcuda.so.1 was not found"};
    if (code == cudaErrorInsufficientDriver)
      throw CudaFailure{"the NVIDIA driver is too old: it knows CUDA " + version(driver) +
                        ", and this build of fastnn needs " + version(runtime)};
    if (code == cudaSuccess || code == cudaErrorNoDevice)
      throw CudaFailure{"there is no GPU, or CUDA_VISIBLE_DEVICES hides it"};
    check(code, "looking for GPUs");
    return 0;
  }

  std::string device_name(int gpu) const override { return properties(gpu).name; }
  int capability(int gpu) const override {
    const cudaDeviceProp p = properties(gpu);
    return p.major * 10 + p.minor;
  }

  Stream& default_stream(int gpu) const override {
    Gpu& g = gpu_at(gpu);
    std::call_once(g.once, [&] {
      check(cudaSetDevice(gpu), "choosing a GPU");
      cudaFuncAttributes attributes;
      const cudaError_t code = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&probe));
      if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction) {
        cudaGetLastError();
        g.unusable =
            "this GPU is an sm_" + std::to_string(capability(gpu)) + ", and fastnn was built for " + built_for();
      } else {
        check(code, "looking for the kernels");
      }
      g.stream.device.gpu = gpu;
      cuda::select(gpu);
    });
    if (!g.unusable.empty()) throw CudaFailure{g.unusable};
    return g.stream;
  }

  Stream& take_stream(int gpu) const override {
    default_stream(gpu);
    cuda::select(gpu);
    Gpu& g = gpu_at(gpu);
    std::lock_guard lock(g.mutex);
    if (!g.idle.empty()) {
      Stream* s = g.idle.back();
      g.idle.pop_back();
      return *s;
    }
    cudaStream_t made;
    check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "making a stream");
    return *new Stream{0, {gpu}, made};
  }
  void give_stream(Stream& s) const override {
    Gpu& g = gpu_at(s.device.gpu);
    std::lock_guard lock(g.mutex);
    g.idle.push_back(&s);
  }

  void select(const Stream& s) const override {
    check_alive();
    cuda::select(s.device.gpu);
  }
  bool finished(const Stream& s) const override {
    select(s);
    return done(cudaStreamQuery(handle(s)));
  }
  void synchronize(const Stream& s) const override {
    select(s);
    check(cudaStreamSynchronize(handle(s)), "running what came before");
  }
  void synchronize_gpu(int gpu) const override {
    select(default_stream(gpu));
    check(cudaDeviceSynchronize(), "running what came before");
  }
  void wait(const Stream& waiter, const Stream& stream) const override {
    void* e = make_event(stream.device.gpu, false);
    record(e, stream);
    wait_event(waiter, e);
    drop_event(e);  // CUDA keeps it until it has happened
  }

  void* make_event(int gpu, bool timing) const override {
    select(default_stream(gpu));
    cudaEvent_t e;
    check(cudaEventCreateWithFlags(&e, timing ? cudaEventDefault : cudaEventDisableTiming), "making an event");
    return e;
  }
  void drop_event(void* e) const override { check(cudaEventDestroy(event_of(e)), "dropping an event"); }
  void record(void* e, const Stream& s) const override {
    select(s);
    check(cudaEventRecord(event_of(e), handle(s)), "recording an event");
  }
  void wait_event(const Stream& s, void* e) const override {
    select(s);
    check(cudaStreamWaitEvent(handle(s), event_of(e), 0), "waiting for an event");
  }
  bool event_happened(void* e) const override {
    check_alive();
    return done(cudaEventQuery(event_of(e)));
  }
  void synchronize_event(void* e) const override {
    check_alive();
    check(cudaEventSynchronize(event_of(e)), "waiting for an event");
  }
  float milliseconds(void* from, void* to) const override {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, event_of(from), event_of(to)), "comparing events");
    return ms;
  }

  void* allocate(Stream& s, size_t bytes) const override { return cuda::allocate(s, bytes); }
  void release(void* p) const noexcept override { cuda::release(p); }
  void used(void* p, const Stream& s) const override { cuda::used(p, s); }
  size_t allocated(int gpu) const override { return cuda::allocated(gpu); }
  size_t reserved(int gpu) const override { return cuda::reserved(gpu); }
  void empty_cache() const override { cuda::empty_cache(); }
  int gpu_of(const void* p) const override {
    cudaPointerAttributes a{};
    check(cudaPointerGetAttributes(&a, p), "asking whose memory it is");
    return a.type == cudaMemoryTypeDevice || a.type == cudaMemoryTypeManaged ? a.device : -1;
  }

  void upload(const Stream& s, void* to, const void* from, size_t bytes) const override {
    check_alive();
    cuda::upload(s, to, from, bytes);
  }
  void download(const Stream& s, void* to, const void* from, size_t bytes) const override {
    check_alive();
    cuda::download(s, to, from, bytes);
  }
  void copy(const Stream& s, void* to, const void* from, size_t bytes) const override {
    select(s);
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, handle(s)), "copying between GPUs");
  }

  const char* why_not_dense_epoch(const DenseEpochArgs& a, int gpu) const override {
    return cuda::why_not_dense_epoch(a, gpu);
  }
  void dense_epoch(Stream& s, const DenseEpochArgs& a) const override {
    select(s);
    cuda::dense_epoch(s, a);
  }

  void launched(const Stream& s) const override {
    release_workspace();
    if (blocking()) check(cudaStreamSynchronize(handle(s)), "running it");
  }
  bool blocking() const override {
    static const bool blocking = setting("FASTNN_CUDA_BLOCKING", "1");
    return blocking;
  }

  void* make_graph(int gpu, const std::function<void(Stream&)>& queue) const override {
    Stream& s = take_stream(gpu);  // CUDA's default stream cannot be recorded
    struct Give {
      const Backend& backend;
      Stream& s;
      ~Give() { backend.give_stream(s); }
    } give{*this, s};
    load_step_kernels();
    return cuda::make_graph(s, queue);
  }
  void launch_graph(void* graph, const Stream& s) const override { cuda::launch_graph(graph, s); }
  void drop_graph(void* graph) const noexcept override { cuda::drop_graph(graph); }
  void begin_step(Stream& s, const StepBegin& b) const override { cuda::begin_step(s, b); }
  void end_step(Stream& s, const StepEnd& e) const override { cuda::end_step(s, e); }

 private:
  static cudaDeviceProp properties(int gpu) {
    cudaDeviceProp p{};
    check(cudaGetDeviceProperties(&p, gpu), "asking what a GPU is");
    return p;
  }
};

}  // namespace

Capability capability() {
  static std::atomic<int> codes[kMaxGpus];  // by GPU, with its own, which an emulated one may change
  int gpu, major, minor;
  check(cudaGetDevice(&gpu), "asking for the current GPU");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, gpu), "asking for the compute capability");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, gpu), "asking for the compute capability");
  const int own = 10 * major + minor;
  int known = codes[gpu];
  if (known / 1000 != own) {
    cudaFuncAttributes attributes;
    check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&probe)), "looking for the kernels");
    codes[gpu] = known = 1000 * own + attributes.ptxVersion;
  }
  return {own, known % 1000};
}

void select(int gpu) {
  int selected = -1;  // asked for, since other libraries of the process choose too
  if (cudaGetDevice(&selected) == cudaSuccess && selected == gpu) return;
  check(cudaSetDevice(gpu), "choosing a GPU");
}

}  // namespace fnn::cuda

extern "C" [[gnu::visibility("default")]] fnn::CudaLibrary fnn_cuda_backend() {
  static const fnn::cuda::Backend backend;
  return {sizeof(fnn::KernelTable), sizeof(fnn::Stream), &backend};
}
