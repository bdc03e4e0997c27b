#include "core/random.h"

#include <mutex>

#include "core/fork.h"

namespace fnn {
namespace {

PhiloxKey generator{0, 0};

std::mutex& mutex() {
  static std::mutex* m = [] {
    hold_over_fork<&mutex>();
    return new std::mutex;
  }();
  return *m;
}

}  // namespace

void manual_seed(uint64_t seed) {
  std::lock_guard lock(mutex());
  generator = {seed, 0};
}

uint64_t initial_seed() {
  std::lock_guard lock(mutex());
  return generator.seed;
}

PhiloxKey random_state() {
  std::lock_guard lock(mutex());
  return generator;
}

void set_random_state(PhiloxKey state) {
  std::lock_guard lock(mutex());
  generator = state;
}

PhiloxKey reserve_random(int64_t n) {
  std::lock_guard lock(mutex());
  const PhiloxKey key = generator;
  generator.offset += static_cast<uint64_t>((n + 3) / 4);
  return key;
}

}  // namespace fnn
