#include "core/allocator.h"

#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "core/fork.h"

namespace fnn {
namespace {

constexpr size_t kMaxCached = size_t{256} << 20;  // bytes held back from the system
constexpr size_t kMaxBlock = size_t{64} << 20;    // larger blocks are not kept

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCaching = false;  // or use after free would go unseen
#else
constexpr bool kCaching = true;
#endif

// Eight sizes to each power of two, so that a block wastes an eighth at most.
size_t size_class(size_t bytes) {
  if (bytes <= 512) return (bytes + 63) / 64 * 64 + (bytes == 0 ? 64 : 0);
  const size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

struct Cache {
  std::mutex mutex;
  std::unordered_map<size_t, std::vector<void*>> blocks;
  size_t held = 0;

  void* take(size_t size) {
    std::lock_guard lock(mutex);
    const auto it = blocks.find(size);
    if (it == blocks.end() || it->second.empty()) return nullptr;
    void* block = it->second.back();
    it->second.pop_back();
    held -= size;
    return block;
  }

  bool give(void* block, size_t size) {
    std::lock_guard lock(mutex);
    if (size > kMaxBlock || held + size > kMaxCached) return false;
    blocks[size].push_back(block);
    held += size;
    return true;
  }
};

std::mutex& cache_mutex();

Cache& cache() {
  static Cache* c = [] {
    hold_over_fork<&cache_mutex>();
    return new Cache;  // outlives every tensor
  }();
  return *c;
}

std::mutex& cache_mutex() { return cache().mutex; }

}  // namespace

std::shared_ptr<void> allocate(size_t bytes) {
  const size_t size = size_class(bytes);
  void* block = kCaching ? cache().take(size) : nullptr;
  if (!block) block = std::aligned_alloc(64, size);
  if (!block) throw std::bad_alloc();
  return std::shared_ptr<void>(block, [size](void* p) {
    if (!kCaching || !cache().give(p, size)) std::free(p);
  });
}

}  // namespace fnn
