#include "core/allocator.h"

#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
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

// Eight sizes to each power of two, so that a block wastes an eighth at most, numbered from 0.
struct SizeClass {
  size_t size;
  size_t number;
};
SizeClass size_class(size_t bytes) {
  if (bytes <= 512) {
    const size_t number = bytes == 0 ? 0 : (bytes - 1) / 64;
    return {(number + 1) * 64, number};
  }
  const size_t step = std::bit_floor(bytes - 1) / 8, steps = (bytes + step - 1) / step;  // 9 to 16
  return {steps * step, 8 * static_cast<size_t>(std::countr_zero(step) - 6) + steps - 1};
}
constexpr size_t kClasses = 8 * (26 - 9 + 1);
static_assert(kMaxBlock == size_t{1} << 26);

struct Cache {
  std::mutex mutex;
  std::array<std::vector<void*>, kClasses> blocks;
  size_t held = 0;

  void* take(SizeClass s) {
    if (s.size > kMaxBlock) return nullptr;
    std::lock_guard lock(mutex);
    std::vector<void*>& list = blocks[s.number];
    if (list.empty()) return nullptr;
    void* block = list.back();
    list.pop_back();
    held -= s.size;
    return block;
  }

  bool give(void* block, SizeClass s) {
    if (s.size > kMaxBlock) return false;
    std::lock_guard lock(mutex);
    if (held + s.size > kMaxCached) return false;
    blocks[s.number].push_back(block);
    held += s.size;
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
  const SizeClass s = size_class(bytes);
  void* block = kCaching ? cache().take(s) : nullptr;
  if (!block) block = std::aligned_alloc(64, s.size);
  if (!block) throw std::bad_alloc();
  return std::shared_ptr<void>(block, [s](void* p) {
    if (!kCaching || !cache().give(p, s)) std::free(p);
  });
}

}  // namespace fnn
