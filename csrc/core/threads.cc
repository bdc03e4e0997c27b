// The thread pool: workers spin for a while after a kernel, since the next one
// usually follows within microseconds, and then sleep on a futex.
#include "core/threads.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/stream.h"

namespace fnn {
namespace {

constexpr int kSpins = 20000;  // about 0.1 ms with a pause in each
constexpr int kMaxThreads = 256;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local bool inside_kernel = false;  // a kernel within a kernel runs where it is

// A job's tasks are shared out in equal ranges, one for each thread, so that a task that
// comes again finds its memory in the cache of the same core; who is done with its own
// range helps with the others. A range is one 64-bit word, {end, next}: whoever increments
// `next` below `end` owns that task. The caller waits for the tasks only, never for a
// worker that the system has put aside: one that comes late to a job draws from the next.
class Pool {
 public:
  static constexpr int64_t kMaxTasks = int64_t{1} << 30;

  explicit Pool(int workers) : ranges_(static_cast<size_t>(workers) + 1) {
    for (int i = 1; i <= workers; ++i) threads_.emplace_back([this, i] { work(static_cast<size_t>(i)); });
  }
  ~Pool() {
    stop_.store(true);
    wake();
    for (auto& t : threads_) t.join();
  }

  void run(int64_t tasks, void (*task)(void*, int64_t), void* context) {
    task_ = task;
    context_ = context;
    done_.store(0, std::memory_order_relaxed);
    const auto n = static_cast<int64_t>(ranges_.size());
    for (int64_t i = n - 1; i >= 0; --i) {
      const auto begin = static_cast<uint64_t>(tasks * i / n), end = static_cast<uint64_t>(tasks * (i + 1) / n);
      ranges_[static_cast<size_t>(i)].word.store(end << 32 | begin, std::memory_order_seq_cst);
    }
    wake();
    while (draw(0)) {
    }
    for (int spins = 0; done_.load(std::memory_order_acquire) < tasks; ++spins)
      spins < kSpins ? pause() : static_cast<void>(sched_yield());
  }

 private:
  struct alignas(64) Range {
    std::atomic<uint64_t> word{0};
  };
  static bool open(uint64_t range) { return static_cast<uint32_t>(range) < (range >> 32); }

  bool draw(size_t own) {
    for (size_t i = 0; i < ranges_.size(); ++i) {
      std::atomic<uint64_t>& word = ranges_[(own + i) % ranges_.size()].word;
      if (!open(word.load(std::memory_order_acquire))) continue;
      const uint64_t range = word.fetch_add(1, std::memory_order_acq_rel);
      if (!open(range)) continue;
      task_(context_, static_cast<uint32_t>(range));
      done_.fetch_add(1, std::memory_order_release);
      return true;
    }
    return false;
  }

  bool any_open() const {
    for (const Range& r : ranges_)
      if (open(r.word.load(std::memory_order_seq_cst))) return true;
    return false;
  }

  void wake() {
    generation_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) generation_.notify_all();
  }

  void work(size_t own) {
    inside_kernel = true;
    for (int spins = 0; !stop_.load(std::memory_order_relaxed); ++spins) {
      if (draw(own)) {
        spins = 0;
      } else if (spins < kSpins) {
        pause();
      } else {
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        const uint32_t seen = generation_.load(std::memory_order_seq_cst);
        if (!any_open() && !stop_.load()) generation_.wait(seen);
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
        spins = 0;
      }
    }
  }

  void (*task_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  std::vector<Range> ranges_;
  alignas(64) std::atomic<int64_t> done_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

// Leaked on purpose at exit and after fork: joining there can hang.
Pool* pool = nullptr;
std::mutex* pool_mutex = new std::mutex;

struct Limits {
  int threads = 1;
  std::string reason;
};

int positive_env(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return 0;
  char* end = nullptr;
  const long n = std::strtol(value, &end, 10);
  // OMP_NUM_THREADS may be a list ("4,2"): its first number counts.
  return n > 0 && (*end == 0 || *end == ',') ? static_cast<int>(std::min<long>(n, kMaxThreads)) : 0;
}

// CPUs' worth of quota, rounded up; 0 without one.
int cgroup_quota() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0)
    return std::max(1, static_cast<int>((std::stod(quota) + period - 1) / period));
  std::ifstream q("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), p("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double us = 0;
  if (q >> us && p >> period && us > 0 && period > 0) return std::max(1, static_cast<int>((us + period - 1) / period));
  return 0;
}

int affinity() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

Limits& limits() {
  static Limits found = [] {
    Limits l{affinity(), "CPU affinity"};
    const auto consider = [&](int n, const char* why) {
      if (n > 0 && n < l.threads) l = {n, why};
    };
    consider(cgroup_quota(), "cgroup CPU quota");
    consider(positive_env("OMP_NUM_THREADS"), "OMP_NUM_THREADS");
    consider(positive_env("FASTNN_NUM_THREADS"), "FASTNN_NUM_THREADS");
    l.threads = std::min(l.threads, kMaxThreads);
    return l;
  }();
  return found;
}

void forget_pool_after_fork() {
  pool = nullptr;
  pool_mutex = new std::mutex;
}

struct Buffer {
  void* data = nullptr;
  size_t size = 0;
  ~Buffer() { std::free(data); }
  void* grow(size_t bytes) {
    if (bytes > size) {
      std::free(data);
      size = (bytes + 4095) / 4096 * 4096;
      data = std::aligned_alloc(64, size);
      if (!data) {
        size = 0;
        throw std::bad_alloc();
      }
    }
    return data;
  }
};

}  // namespace

int num_threads() { return limits().threads; }
std::string num_threads_reason() { return limits().reason; }

void set_num_threads(int n) {
  check(n >= 1 && n <= kMaxThreads, "set_num_threads", "expected 1 to ", kMaxThreads, "; got ", n);
  std::lock_guard lock(*pool_mutex);
  limits() = {n, "set_num_threads"};
  delete pool;
  pool = nullptr;
  cpu_stream().threads = n;
}

Stream& cpu_stream() {
  static Stream stream{num_threads(), {}};
  return stream;
}

void Stream::run(int64_t tasks, void (*task)(void*, int64_t), void* context) {
  // Nested calls, and calls from a second Python thread while the pool is busy,
  // run where they are: more threads than cores would only slow both.
  if (threads > 1 && tasks > 1 && tasks < Pool::kMaxTasks && !inside_kernel && pool_mutex->try_lock()) {
    std::lock_guard lock(*pool_mutex, std::adopt_lock);
    if (!pool) {
      static const int registered = pthread_atfork(nullptr, nullptr, forget_pool_after_fork);
      (void)registered;
      pool = new Pool(threads - 1);
    }
    inside_kernel = true;
    pool->run(tasks, task, context);
    inside_kernel = false;
    return;
  }
  for (int64_t i = 0; i < tasks; ++i) task(context, i);
}

void* Stream::workspace(size_t bytes) {
  thread_local Buffer buffer;
  return buffer.grow(bytes);
}

void* Stream::thread_workspace(size_t bytes) {
  thread_local Buffer buffer;
  return buffer.grow(bytes);
}

}  // namespace fnn
