// Copies between the memory of the CPU and that of GPUs.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "cuda/runtime.h"

namespace fnn::cuda {
namespace {

// Page-locked memory, from which a GPU copies on its own: while it takes one part, the CPU
// fills the next.
template <size_t Bytes, int Parts>
struct Ring {
  static constexpr size_t kPart = Bytes;

  char* memory = nullptr;  // (Parts, kPart)
  cudaEvent_t taken[Parts] = {};
  int next = 0;

  void prepare() {
    if (memory) return;
    for (cudaEvent_t& e : taken)
      if (!e) check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "making an event");
    void* p = nullptr;
    check(cudaHostAlloc(&p, Parts * kPart, cudaHostAllocDefault), "taking page-locked memory");
    memory = static_cast<char*>(p);
  }

  void upload(cudaStream_t stream, char* to, const char* from, size_t bytes) {
    prepare();
    for (size_t at = 0; at < bytes; at += kPart) {
      const size_t count = std::min(kPart, bytes - at);
      const int part = next;
      next = (next + 1) % Parts;
      char* stage = memory + static_cast<size_t>(part) * kPart;
      check(cudaEventSynchronize(taken[part]), "waiting for a copy to a GPU");
      std::memcpy(stage, from + at, count);
      check(cudaMemcpyAsync(to + at, stage, count, cudaMemcpyHostToDevice, stream), "copying to a GPU");
      check(cudaEventRecord(taken[part], stream), "copying to a GPU");
    }
  }
};

struct Staging {
  std::mutex mutex;
  Ring<size_t{4} << 20, 2> large;
  Ring<size_t{16} << 10, 64> small;  // what a step is told: the CPU may be many steps ahead
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
  const auto upload = [&](auto& ring) {
    ring.upload(handle(s), static_cast<char*>(to), static_cast<const char*>(from), bytes);
  };
  bytes <= stage.small.kPart ? upload(stage.small) : upload(stage.large);
}

void download(const Stream& s, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  select(s.device.gpu);
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, handle(s)), "copying from a GPU");
  check(cudaStreamSynchronize(handle(s)), "copying from a GPU");
}

}  // namespace fnn::cuda
