// Guarded memory, and the functions of cuda_runtime.h that hand it out.
#include "memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "runtime.h"

using emulation::failed;
using emulation::queue;

namespace emulation {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
constexpr size_t kZone = 0;
#else
constexpr bool kSanitized = false;
constexpr size_t kZone = kAlignment;
#endif
constexpr int kMark = 0xa5;

// Whether `bytes` are all marks: the first is, and each is as the one before it.
bool marked(const unsigned char* p, size_t bytes) {
  return bytes == 0 || (p[0] == kMark && std::memcmp(p, p + 1, bytes - 1) == 0);
}

unsigned char* prepare(void* memory, size_t bytes) {
  auto* const p = static_cast<unsigned char*>(memory) + kZone;
  std::memset(p - kZone, kMark, kZone);
  std::memset(p, 0xff, bytes);
  std::memset(p + bytes, kMark, kZone);
  return p;
}

// Where the memory of devices lies. With FASTNN_CUDA_PROTECT=1 nobody may touch it while no kernel
// and no copy is at work: code of the CPU that reads a tensor of a GPU by itself crashes, as it would
// with a real one. That costs 50 us for each MB of memory and launch. (Not with AddressSanitizer,
// which must make the blocks itself.)
class Arena {
 public:
  void* allocate(size_t bytes) {
    const auto found = free_.lower_bound(bytes);
    if (found != free_.end() && found->first <= 2 * bytes) {
      void* const p = found->second;
      sizes_.insert({p, found->first});
      free_.erase(found);
      return p;
    }
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (used_ + bytes > kReserved) std::abort();
    void* const p = base_ + used_;
    used_ += bytes;
    sizes_.insert({p, bytes});
    protect(PROT_READ | PROT_WRITE);
    return p;
  }
  void release(void* p) {
    const auto at = sizes_.find(p);
    free_.insert({at->second, p});
    sizes_.erase(at);
  }
  void open() {
    if (users_++ == 0 && protects_) protect(PROT_READ | PROT_WRITE);
  }
  void close() {
    if (--users_ == 0 && protects_) protect(PROT_NONE);
  }

 private:
  static constexpr size_t kReserved = size_t{64} << 30;  // addresses, not memory
  static constexpr size_t kPage = 4096;

  void protect(int how) {
    if (used_ > 0 && mprotect(base_, (used_ + kPage - 1) / kPage * kPage, how) != 0) std::abort();
  }

  unsigned char* const base_ = static_cast<unsigned char*>(
      mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  const bool protects_ = number("FASTNN_CUDA_PROTECT", 0) == 1;
  size_t used_ = 0;
  int users_ = 0;
  std::multimap<size_t, void*> free_;
  std::map<void*, size_t> sizes_;
};

struct Allocation {
  size_t bytes;
  int device;  // below 0 for memory of the host

  bool in_arena() const { return device >= 0 && !kSanitized; }
};
std::recursive_mutex mutex;                              // of all below
std::map<const unsigned char*, Allocation> allocations;  // by where they begin
Arena& arena() {
  static auto* a = new Arena;
  return *a;
}

size_t used(int device) {
  size_t bytes = 0;
  for (const auto& [p, a] : allocations) bytes += a.device == device ? a.bytes : 0;
  return bytes;
}

cudaError_t give(void** p, const Allocation& a) {
  const std::lock_guard lock(mutex);
  const DeviceAccess access;
  unsigned char* const memory =
      a.in_arena() ? prepare(arena().allocate(a.bytes + 2 * kZone), a.bytes) : allocate_guarded(a.bytes);
  allocations[memory] = a;
  *p = memory;
  return cudaSuccess;
}

cudaError_t take_back(void* p, bool host) {
  const std::lock_guard lock(mutex);
  const auto found = allocations.find(static_cast<unsigned char*>(p));
  if (found == allocations.end() || (found->second.device < 0) != host) return failed(cudaErrorInvalidValue);
  const DeviceAccess access;
  const Allocation a = found->second;
  auto* const memory = static_cast<unsigned char*>(p);
  if (!intact(memory, a.bytes)) mistake("a write beside memory of the device");
  allocations.erase(found);
  if (a.in_arena()) {
    std::memset(memory, 0xff, a.bytes);
    arena().release(memory - kZone);
  } else {
    free_guarded(memory, a.bytes);
  }
  return cudaSuccess;
}

}  // namespace

DeviceAccess::DeviceAccess() {
  const std::lock_guard lock(mutex);
  if (!kSanitized) arena().open();
}
DeviceAccess::~DeviceAccess() {
  const std::lock_guard lock(mutex);
  if (!kSanitized) arena().close();
}

unsigned char* allocate_guarded(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes + 2 * kZone) != 0) std::abort();
  return prepare(memory, bytes);
}

void free_guarded(unsigned char* p, size_t bytes) {
  std::memset(p, 0xff, bytes);  // stale reads show as well
  std::free(p - kZone);
}

bool intact(const unsigned char* p, size_t bytes) { return marked(p - kZone, kZone) && marked(p + bytes, kZone); }

size_t total_memory() { return number("FASTNN_CUDA_MEMORY", size_t{1} << 30); }

void check_memory() {
  const std::lock_guard lock(mutex);
  for (const auto& [p, a] : allocations)
    if (!intact(p, a.bytes)) mistake("a write beside memory of the device");
}

}  // namespace emulation

cudaError_t cudaMalloc(void** p, size_t bytes) {
  if (const cudaError_t code = emulation::may_wait()) return code;
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  if (bytes > free) return failed(cudaErrorMemoryAllocation);
  return emulation::give(p, {bytes, emulation::current_device()});
}
cudaError_t cudaFree(void* p) {
  if (!p) return emulation::state();
  if (const cudaError_t code = emulation::may_wait()) return code;
  return emulation::take_back(p, false);
}
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  if (const cudaError_t code = emulation::may_wait()) return code;
  return emulation::give(p, {bytes, -1});
}
cudaError_t cudaMallocHost(void** p, size_t bytes) { return cudaHostAlloc(p, bytes, cudaHostAllocDefault); }
cudaError_t cudaFreeHost(void* p) {
  if (!p) return emulation::state();
  if (const cudaError_t code = emulation::may_wait()) return code;
  return emulation::take_back(p, true);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard lock(emulation::mutex);
  const size_t used = emulation::used(emulation::current_device());
  *total = emulation::total_memory();
  *free = used < *total ? *total - used : 0;
  return emulation::state();
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  return queue(stream, [=] {
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
  return queue(stream, [=] {
    if (bytes > 0) std::memset(p, value, bytes);
  });
}
cudaError_t cudaMemset(void* p, int value, size_t bytes) { return cudaMemsetAsync(p, value, bytes, nullptr); }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  const auto* const at = static_cast<const unsigned char*>(p);
  const std::lock_guard lock(emulation::mutex);
  auto found = emulation::allocations.upper_bound(at);
  *attributes = {cudaMemoryTypeUnregistered, -1, nullptr, const_cast<void*>(p)};
  if (found == emulation::allocations.begin()) return emulation::state();
  const auto& [begin, a] = *--found;
  if (at >= begin + a.bytes && at != begin) return emulation::state();
  attributes->type = a.device < 0 ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
  attributes->device = a.device < 0 ? emulation::current_device() : a.device;
  attributes->devicePointer = const_cast<void*>(p);
  return emulation::state();
}
