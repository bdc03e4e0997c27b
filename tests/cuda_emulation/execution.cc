#include "execution.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>

#include "fiber.h"
#include "hopper.h"
#include "memory.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {
namespace {

struct Thread {
  uint3 index;
  Fiber* fiber;  // while it waits
  Copies copies;
};

// Lanes that wait for others of one mask.
struct Meeting {
  unsigned mask, arrived;
  Act act;
  void* lane[kWarp];
};
struct Warp {
  Meeting meetings[kWarp];  // of which those with lanes that have arrived are under way
  int under_way;

  // The one of this mask: under way, or about to be. Some lanes may wait for a few while others
  // wait for all.
  Meeting& of(unsigned mask) {
    Meeting& usual = meetings[__builtin_ctz(mask)];
    if (usual.mask == mask && usual.arrived) return usual;
    if (under_way > 0)
      for (Meeting& m : meetings)
        if (m.mask == mask && m.arrived) return m;
    Meeting* m = &usual;
    while (m->arrived) m = meetings + (m - meetings + 1) % kWarp;
    return *m;
  }
};

// The order of things: a permutation of [0, n) a block.
class Order {
 public:
  Order() {
    const char* wish = std::getenv("FASTNN_CUDA_ORDER");
    if (!wish || !*wish || std::strcmp(wish, "forward") == 0) return;
    reverse_ = std::strcmp(wish, "reverse") == 0;
    if (reverse_) return;
    char* end = nullptr;
    state_ = std::strtoull(wish, &end, 10) * 2 + 1;
    shuffle_ = true;
    if (*end) mistake("FASTNN_CUDA_ORDER is forward, reverse or a number");
  }
  void fill(std::vector<int64_t>& order, int64_t n) {
    order.resize(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) order[static_cast<size_t>(i)] = reverse_ ? n - 1 - i : i;
    for (int64_t i = n - 1; shuffle_ && i > 0; --i)
      std::swap(order[static_cast<size_t>(i)], order[random() % static_cast<size_t>(i + 1)]);
  }
  // Whether those that were woken go before those that have not begun.
  bool depth_first() { return shuffle_ && random() % 2; }
  bool reverse() { return reverse_ || (shuffle_ && random() % 2); }
  // Whether a sleeper goes on before all others, or after them.
  bool hurries() { return reverse(); }

 private:
  size_t random() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;  // Knuth's, as in MMIX
    return state_ >> 33;
  }
  uint64_t state_ = 0;
  bool reverse_ = false, shuffle_ = false;
};

// All that belongs to the kernel at work; one at a time.
std::mutex processor;
const Grid* grid;
int thread_count, alive, at_barrier, asleep;
bool depth_first, reverse, hurry;
Thread threads[kMaxThreads];
Thread* current;
std::vector<int64_t> order;  // in which the threads begin
int begun;                   // how many of them have
Thread* ready[kMaxThreads];  // a ring of those that were woken
unsigned ready_first, ready_count;
Warp warps[kMaxThreads / kWarp];
unsigned char* shared;
Fiber* host;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle;

void take_turn(Thread& t) {
  current = &t;
  threadIdx = t.index;
}

void wake(Thread& t) { ready[(ready_first + ready_count++) % kMaxThreads] = &t; }

// Whether a thread that has not begun is next.
bool begins() { return begun < thread_count && !(depth_first && ready_count > 0); }

void open_barrier() {
  if (asleep > 0) mistake("threads wait at a barrier for arrivals or bytes that do not come");
  if (at_barrier < alive)
    mistake(at_barrier > 0 ? "some threads wait at a barrier, others for lanes of their warp that do not come"
                           : "lanes wait for others of their mask that do not come");
  if (alive < thread_count) mistake("threads wait at a barrier that others never reach: they have ended");
  at_barrier = 0;
  for (int64_t t : order) wake(threads[t]);
}

void work();

// The fiber to go on with: a thread's that can, one for a new thread, or the host's.
Fiber& next() {
  if (begins()) {
    if (idle.empty()) {
      fibers.push_back(std::make_unique<Fiber>(&work, fibers.size()));
      idle.push_back(fibers.back().get());
    }
    Fiber* const fiber = idle.back();
    idle.pop_back();
    return *fiber;
  }
  if (ready_count == 0) {
    if (alive == 0) return *host;
    open_barrier();
  }
  Thread& t = *ready[ready_first];
  ready_first = (ready_first + 1) % kMaxThreads;
  --ready_count;
  take_turn(t);
  return *t.fiber;
}

void wait() {
  Fiber* const self = current->fiber = Fiber::running();
  Fiber& to = next();
  if (&to != self) self->switch_to(to);
}

// A fiber runs one thread after the other, so that those which never wait cost no switch.
void work() {
  for (;;) {
    while (begins()) {
      take_turn(threads[order[static_cast<size_t>(begun++)]]);
      grid->thread();
      if (!current->copies.pending.empty()) mistake("a thread ends with copies under way");
      current->copies.group = 0;
      --alive;
    }
    Fiber* const self = Fiber::running();
    idle.push_back(self);
    self->switch_to(next());
  }
}

void run_block(Order& chance) {
  std::memset(shared, 0xff, grid->shared_bytes);
  chance.fill(order, thread_count);
  depth_first = chance.depth_first();
  reverse = chance.reverse();
  hurry = chance.hurries();
  alive = thread_count;
  begun = at_barrier = asleep = 0;
  host->switch_to(next());
  end_hopper();
  if (!intact(shared, grid->shared_bytes)) mistake("a write beside the shared memory");
}

}  // namespace

void mistake(const char* what) {
  std::fprintf(stderr, "emulated CUDA: %s", what);
  if (grid)
    std::fprintf(stderr, ", in block (%u, %u, %u), thread (%u, %u, %u) of %s", blockIdx.x, blockIdx.y, blockIdx.z,
                 threadIdx.x, threadIdx.y, threadIdx.z, grid->name);
  std::fprintf(stderr, "\n");
  std::abort();
}

void run(const Grid& g) {
  const std::lock_guard lock(processor);
  Fiber here;
  grid = &g;
  host = &here;
  gridDim = g.blocks;
  blockDim = g.threads;
  thread_count = static_cast<int>(g.threads.x * g.threads.y * g.threads.z);
  for (int t = 0; t < thread_count; ++t) {
    const auto n = static_cast<unsigned>(t), across = n / g.threads.x;
    threads[t].index = {n % g.threads.x, across % g.threads.y, across / g.threads.y};
  }
  shared = allocate_guarded(g.shared_bytes);

  Order chance;
  std::vector<int64_t> blocks;
  chance.fill(blocks, static_cast<int64_t>(g.blocks.x) * g.blocks.y * g.blocks.z);
  for (const int64_t b : blocks) {
    const int64_t across = b / g.blocks.x;
    blockIdx = {static_cast<unsigned>(b % g.blocks.x), static_cast<unsigned>(across % g.blocks.y),
                static_cast<unsigned>(across / g.blocks.y)};
    run_block(chance);
  }
  free_guarded(shared, g.shared_bytes);
  check_memory();
  grid = nullptr;
}

unsigned char* shared_memory() { return shared; }
size_t shared_bytes() { return grid->shared_bytes; }
int this_thread() { return static_cast<int>(current - threads); }

void sleep(Sleepers& sleepers) {
  sleepers.push_back(this_thread());
  ++asleep;
  wait();
}
void wake(Sleepers& sleepers) {
  if (reverse) std::reverse(sleepers.begin(), sleepers.end());
  for (const int t : sleepers) {
    if (hurry) {
      ready_first = (ready_first + kMaxThreads - 1) % kMaxThreads;
      ready[ready_first] = &threads[t];
      ++ready_count;
    } else {
      wake(threads[t]);
    }
  }
  asleep -= static_cast<int>(sleepers.size());
  sleepers.clear();
}
Copies& copies() { return current->copies; }

void meet_block() {
  ++at_barrier;
  wait();
}

void meet_lanes(unsigned mask, void* mine, Act act) {
  const auto me = static_cast<int>(current - threads), first = me / kWarp * kWarp, lane = me - first;
  if (!(mask >> lane & 1)) mistake("a thread is at a warp function whose mask leaves it out");
  if (thread_count - first < kWarp && mask >> (thread_count - first))
    mistake("a mask names lanes the block does not have");
  Warp& warp = warps[me / kWarp];
  Meeting& m = warp.of(mask);
  if (m.arrived == 0) {
    m.mask = mask;
    m.act = act;
    ++warp.under_way;
  }
  if (m.act != act) mistake("lanes of one warp meet at different functions");
  m.arrived |= 1u << lane;
  m.lane[lane] = mine;
  if (m.arrived != mask) return wait();
  m.arrived = 0;
  --warp.under_way;
  act(m.lane, mask);
  for (int i = 0; i < kWarp; ++i) {
    const int l = reverse ? kWarp - 1 - i : i;
    if (l != lane && mask >> l & 1) wake(threads[first + l]);
  }
}

}  // namespace emulation
