// Copies between the memory of the CPU and that of GPUs.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "cuda/runtime.h"

namespace fnn::cuda {
namespace {

constexpr size_t kStage = size_t{4} << 20;

// Page-locked memory, from which a GPU copies on its own: while it takes one half, the CPU
// fills the other.
struct Staging {
  std::mutex mutex;
  char* memory = nullptr;  // 2 kStage bytes
  cudaEvent_t taken[2] = {};
  int next = 0;

  void prepare() {
    if (memory) return;
    for (cudaEvent_t& e : taken)
      if (!e) check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "making an event");
    void* p = nullptr;
    check(cudaHostAlloc(&p, 2 * kStage, cudaHostAllocDefault), "taking page-locked memory");
    memory = static_cast<char*>(p);
  }

  void upload(cudaStream_t stream, char* to, const char* from, size_t bytes) {
    for (size_t at = 0; at < bytes; at += kStage) {
      const size_t part = std::min(kStage, bytes - at);
      const int half = next;
      next = 1 - next;
      char* stage = memory + static_cast<size_t>(half) * kStage;
      check(cudaEventSynchronize(taken[half]), "waiting for a copy to a GPU");
      std::memcpy(stage, from + at, part);
      check(cudaMemcpyAsync(to + at, stage, part, cudaMemcpyHostToDevice, stream), "copying to a GPU");
      check(cudaEventRecord(taken[half], stream), "copying to a GPU");
    }
  }
};

Staging& staging(int gpu) {
  static std::mutex mutex;
  static auto* all = new std::map<int, Staging>;  // never freed: the process may end in any order
  std::lock_guard lock(mutex);
  return (*all)[gpu];
}

}  // namespace

void upload(const Stream& s, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  select(s.device.gpu);
  Staging& stage = staging(s.device.gpu);
  std::lock_guard lock(stage.mutex);
  stage.prepare();
  stage.upload(handle(s), static_cast<char*>(to), static_cast<const char*>(from), bytes);
}

void download(const Stream& s, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  select(s.device.gpu);
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, handle(s)), "copying from a GPU");
  check(cudaStreamSynchronize(handle(s)), "copying from a GPU");
}

}  // namespace fnn::cuda
