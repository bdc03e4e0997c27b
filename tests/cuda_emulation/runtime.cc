// Devices, errors, streams and events, graphs and launches of cuda_runtime.h.
#include "runtime.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "memory.h"

using emulation::failed;
using emulation::number;
using emulation::queue;

namespace emulation {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int device = 0;

std::atomic<bool> lost{false};

std::mutex capture_mutex;
int captures = 0;  // streams that record now, where all calls that wait are forbidden

constexpr size_t kPlainShared = 48 << 10;
std::mutex kernel_mutex;
struct KernelLimits {
  size_t shared = kPlainShared;
  unsigned cluster = kPortableCluster;
};
std::unordered_map<const void*, KernelLimits> kernel_limits;

bool has_clusters() { return number("FASTNN_CUDA_CAPABILITY", 80) >= 90; }
size_t most_shared() { return has_clusters() ? 227 << 10 : 163 << 10; }

// Blocks in a cluster.
unsigned cluster_of(const cudaLaunchConfig_t& c) { return c.numAttrs > 0 ? c.attrs[0].val.clusterDim.x : 1; }

// Whether a kernel may be started so.
cudaError_t judge(const cudaLaunchConfig_t& c, const void* kernel) {
  const dim3 g = c.gridDim, b = c.blockDim;
  const size_t threads = size_t{b.x} * b.y * b.z;
  const bool fits = threads >= 1 && threads <= kMaxThreads && b.z <= 64 && g.x >= 1 && g.x < 1u << 31 && g.y >= 1 &&
                    g.y < 65536 && g.z >= 1 && g.z < 65536;
  if (!fits) return cudaErrorInvalidConfiguration;
  const std::lock_guard<std::mutex> lock(kernel_mutex);
  const KernelLimits& limits = kernel_limits[kernel];
  if (c.dynamicSmemBytes > limits.shared) return cudaErrorInvalidValue;
  if (c.numAttrs == 0) return cudaSuccess;
  const auto size = c.attrs[0].val.clusterDim;
  if (c.numAttrs > 1 || !has_clusters()) return cudaErrorNotSupported;
  if (size.x < 1 || size.y != 1 || size.z != 1 || size.x > limits.cluster || g.x % size.x != 0)
    return cudaErrorInvalidClusterSize;
  return cudaSuccess;
}

}  // namespace

size_t number(const char* variable, size_t otherwise) {
  const char* value = std::getenv(variable);
  return value && *value ? std::strtoull(value, nullptr, 10) : otherwise;
}

cudaError_t failed(cudaError_t code) {
  if (code != cudaSuccess && code != cudaErrorNotReady) last_error = code;
  return code;
}

cudaError_t state() {
  if (lost || std::getenv("FASTNN_CUDA_LOST")) return failed(cudaErrorIllegalAddress);
  int devices = 0;
  return cudaGetDeviceCount(&devices);
}

cudaError_t may_wait() {
  const std::lock_guard<std::mutex> lock(capture_mutex);
  return captures > 0 ? failed(cudaErrorStreamCaptureUnsupported) : state();
}

int current_device() { return device; }

cudaError_t queue(cudaStream_t stream, std::function<void()> work) {
  if (const cudaError_t code = state()) return code;
  if (stream && stream->capture) {
    stream->capture->work.push_back(std::move(work));
    return cudaSuccess;
  }
  if (!stream) {  // CUDA's default stream waits for others, which cannot be recorded
    const std::lock_guard<std::mutex> lock(capture_mutex);
    if (captures > 0) return failed(cudaErrorStreamCaptureImplicit);
  }
  const DeviceAccess access;
  work();
  return cudaSuccess;
}

cudaError_t launch(const cudaLaunchConfig_t& c, const void* kernel, const char* name, std::function<void()> thread) {
  if (const cudaError_t code = judge(c, kernel)) return failed(code);
  return queue(c.stream,
               [grid = Grid{c.gridDim, c.blockDim, cluster_of(c), c.dynamicSmemBytes, name, std::move(thread)}] {
                 run(grid);
                 const char* faulty = std::getenv("FASTNN_CUDA_FAULT");
                 if (faulty && std::strstr(grid.name, faulty)) lost = true;
               });
}

}  // namespace emulation

// --- errors -------------------------------------------------------------------------------
const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
#define FNN_NAME(name) \
  case name: return #name;
    FNN_NAME(cudaSuccess)
    FNN_NAME(cudaErrorInvalidValue)
    FNN_NAME(cudaErrorMemoryAllocation)
    FNN_NAME(cudaErrorInvalidConfiguration)
    FNN_NAME(cudaErrorInsufficientDriver)
    FNN_NAME(cudaErrorInvalidDeviceFunction)
    FNN_NAME(cudaErrorNoDevice)
    FNN_NAME(cudaErrorInvalidDevice)
    FNN_NAME(cudaErrorNoKernelImageForDevice)
    FNN_NAME(cudaErrorInvalidResourceHandle)
    FNN_NAME(cudaErrorNotReady)
    FNN_NAME(cudaErrorIllegalAddress)
    FNN_NAME(cudaErrorNotSupported)
    FNN_NAME(cudaErrorStreamCaptureUnsupported)
    FNN_NAME(cudaErrorStreamCaptureInvalidated)
    FNN_NAME(cudaErrorStreamCaptureImplicit)
    FNN_NAME(cudaErrorInvalidClusterSize)
#undef FNN_NAME
  }
  return "unknown";
}
const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    default: return cudaGetErrorName(code);
  }
}
cudaError_t cudaPeekAtLastError() { return emulation::last_error; }
cudaError_t cudaGetLastError() {
  const cudaError_t code = emulation::last_error;
  emulation::last_error = cudaSuccess;
  return code;
}

// --- devices ------------------------------------------------------------------------------
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = static_cast<int>(number("FASTNN_CUDA_DEVICES", 1));
  return *count > 0 ? cudaSuccess : failed(cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int device) {
  int count = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&count)) return code;
  if (device < 0 || device >= count) return failed(cudaErrorInvalidDevice);
  emulation::device = device;
  return emulation::state();
}
cudaError_t cudaGetDevice(int* device) {
  *device = emulation::device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  int count = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&count)) return code;
  if (device < 0 || device >= count) return failed(cudaErrorInvalidDevice);
  *p = {};
  const int capability = static_cast<int>(number("FASTNN_CUDA_CAPABILITY", 80));
  std::snprintf(p->name, sizeof p->name, "CPU %d.%d (emulated)", capability / 10, capability % 10);
  p->totalGlobalMem = emulation::total_memory();
  p->sharedMemPerBlock = emulation::kPlainShared;
  p->sharedMemPerBlockOptin = emulation::most_shared();
  p->major = capability / 10;
  p->minor = capability % 10;
  p->multiProcessorCount = 4;
  p->l2CacheSize = 1 << 20;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device) {
  cudaDeviceProp p;
  if (const cudaError_t code = cudaGetDeviceProperties(&p, device)) return code;
  switch (which) {
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(p.sharedMemPerBlockOptin); break;
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return emulation::may_wait(); }
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  attributes->maxThreadsPerBlock = emulation::kMaxThreads;
  attributes->ptxVersion =
      static_cast<int>(emulation::number("FASTNN_CUDA_CODE", emulation::number("FASTNN_CUDA_CAPABILITY", 80)));
  return emulation::state();
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute which, int value) {
  const std::lock_guard<std::mutex> lock(emulation::kernel_mutex);
  emulation::KernelLimits& limits = emulation::kernel_limits[kernel];
  switch (which) {
    case cudaFuncAttributeMaxDynamicSharedMemorySize:
      if (value < 0 || static_cast<size_t>(value) > emulation::most_shared()) return failed(cudaErrorInvalidValue);
      limits.shared = static_cast<size_t>(value);
      break;
    case cudaFuncAttributeNonPortableClusterSizeAllowed:
      limits.cluster = value ? emulation::kMaxCluster : emulation::kPortableCluster;
      break;
  }
  return emulation::state();
}
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* kernel, const cudaLaunchConfig_t* config) {
  if (const cudaError_t code = emulation::judge(*config, kernel)) return failed(code);
  *clusters = 1;
  return emulation::state();
}

// --- streams and events -------------------------------------------------------------------
struct CUevent_st {
  std::chrono::steady_clock::time_point when;
};

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (const cudaError_t code = emulation::state()) return code;
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return emulation::state();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return stream && !stream->capture ? emulation::state() : emulation::may_wait();
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return emulation::state(); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  if (const cudaError_t code = emulation::state()) return code;
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return emulation::state();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return queue(stream, [event] { event->when = std::chrono::steady_clock::now(); });
}
cudaError_t cudaEventQuery(cudaEvent_t) { return emulation::state(); }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return emulation::state(); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return emulation::state();
}

// --- graphs -------------------------------------------------------------------------------
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (!stream || stream->capture) return failed(cudaErrorStreamCaptureUnsupported);
  const std::lock_guard<std::mutex> lock(emulation::capture_mutex);
  stream->capture = new CUgraph_st;
  stream->forbids = mode != cudaStreamCaptureModeRelaxed;
  emulation::captures += stream->forbids;
  return emulation::state();
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream || !stream->capture) return failed(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(emulation::capture_mutex);
  emulation::captures -= stream->forbids;
  *graph = stream->capture;
  stream->capture = nullptr;
  return emulation::state();
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = stream && stream->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return emulation::state();
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new CUgraphExec_st{*graph};
  return emulation::state();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return queue(stream, [work = exec->graph.work] {
    for (const auto& step : work) step();
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return emulation::state();
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return emulation::state();
}
