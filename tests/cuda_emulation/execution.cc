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

struct Block;

struct Thread {
  uint3 index;
  Block* block;
  Fiber* fiber;  // while it waits
  Copies copies;
  unsigned phase;  // barriers of the cluster that it has arrived at
  enum { elsewhere, arrived, waiting } at_cluster;
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

// A block of the cluster at work.
struct Block {
  uint3 index;
  int first;                     // of its threads, in `threads`
  int begun, alive, at_barrier;  // of its threads
  Thread* ready[kMaxThreads];    // a ring of those that were woken
  unsigned ready_first, ready_count;
  Warp warps[kMaxThreads / kWarp];
  unsigned char* shared;
  bool mapped;               // whether others of the cluster have asked where its memory is,
  unsigned mapped_in_phase;  // the latest to do so having arrived at that many barriers

  bool holds(const unsigned char* p, size_t bytes) const { return p >= shared && p < shared + bytes; }
};

// All that belongs to the kernel at work; one at a time.
std::mutex processor;
const Grid* grid;
int block_threads, thread_count;        // of a block, of the cluster
int alive, at_cluster_barrier, asleep;  // of the cluster's threads
unsigned phase;                         // barriers of the cluster that have opened
bool depth_first, reverse, hurry;
Block blocks[kMaxCluster];
Block* running;               // goes on for as long as it can, which lets it get ahead of others of the cluster
std::vector<Thread> threads;  // of all blocks of the cluster
Thread* current;
std::vector<int64_t> order;        // in which the threads of a block begin,
std::vector<int64_t> block_order;  // and the blocks of the cluster
Fiber* host;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle;

void take_turn(Thread& t) {
  current = &t;
  threadIdx = t.index;
  blockIdx = t.block->index;
}

Thread& thread_of(const Block& b, int64_t number) { return threads[static_cast<size_t>(b.first + number)]; }

void wake(Thread& t) {
  Block& b = *t.block;
  b.ready[(b.ready_first + b.ready_count++) % kMaxThreads] = &t;
}

bool can_go_on(const Block& b) { return b.begun < block_threads || b.ready_count > 0; }

// Whether a thread of the running block that has not begun is next.
bool begins() { return running->begun < block_threads && !(depth_first && running->ready_count > 0); }

// Nobody can go on, and some threads have not ended.
[[noreturn]] void report_standstill() {
  if (asleep > 0) mistake("threads wait at a barrier for arrivals or bytes that do not come");
  for (unsigned b = 0; b < grid->cluster; ++b) {
    const Block& block = blocks[b];
    if (block.at_barrier == 0) continue;
    mistake(block.at_barrier == block.alive
                ? "threads wait at a barrier that others never reach: they have ended"
                : "some threads wait at a barrier, others for lanes of their warp that do not come");
  }
  mistake(at_cluster_barrier > 0 ? "threads wait at a barrier of the cluster that others never reach"
                                 : "lanes wait for others of their mask that do not come");
}

void work();

// The fiber to go on with: a thread's that can, one for a new thread, or the host's.
Fiber& next() {
  if (!can_go_on(*running)) {
    if (alive == 0) return *host;
    for (const int64_t b : block_order)
      if (!can_go_on(*running)) running = &blocks[b];
    if (!can_go_on(*running)) report_standstill();
  }
  if (begins()) {
    if (idle.empty()) {
      fibers.push_back(std::make_unique<Fiber>(&work, fibers.size()));
      idle.push_back(fibers.back().get());
    }
    Fiber* const fiber = idle.back();
    idle.pop_back();
    return *fiber;
  }
  Block& b = *running;
  Thread& t = *b.ready[b.ready_first];
  b.ready_first = (b.ready_first + 1) % kMaxThreads;
  --b.ready_count;
  take_turn(t);
  return *t.fiber;
}

void wait() {
  Fiber* const self = current->fiber = Fiber::running();
  Fiber& to = next();
  if (&to != self) self->switch_to(to);
}

void end_thread(Thread& t) {
  if (!t.copies.pending.empty()) mistake("a thread ends with copies under way");
  if (t.at_cluster == Thread::arrived)
    mistake("a thread ends between its arrival at a barrier of the cluster and the wait there");
  t.copies.group = 0;
  --alive;
  Block& block = *t.block;
  if (--block.alive > 0) return;
  if (block.mapped && block.mapped_in_phase >= t.phase)
    mistake("a block ends while others of its cluster may still use its shared memory");
  if (!intact(block.shared, grid->shared_bytes)) mistake("a write beside the shared memory");
  std::memset(block.shared, 0xff, grid->shared_bytes);  // new to the next block, and stale reads show
}

// A fiber runs one thread after the other, so that those which never wait cost no switch.
void work() {
  for (;;) {
    while (begins()) {
      take_turn(thread_of(*running, order[static_cast<size_t>(running->begun++)]));
      grid->thread();
      end_thread(*current);
    }
    Fiber* const self = Fiber::running();
    idle.push_back(self);
    self->switch_to(next());
  }
}

// The cluster whose first block is this one.
void run_cluster(Order& chance, uint3 first) {
  for (unsigned b = 0; b < grid->cluster; ++b) {
    Block& block = blocks[b];
    block.index = {first.x + b, first.y, first.z};
    block.alive = block_threads;
    block.begun = block.at_barrier = 0;
    block.mapped = false;
  }
  chance.fill(order, block_threads);
  chance.fill(block_order, grid->cluster);
  running = &blocks[block_order[0]];
  depth_first = chance.depth_first();
  reverse = chance.reverse();
  hurry = chance.hurries();
  alive = thread_count;
  at_cluster_barrier = asleep = 0;
  phase = 0;
  for (Thread& t : threads) t.phase = 0;
  host->switch_to(next());
  end_hopper();
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
  block_threads = static_cast<int>(g.threads.x * g.threads.y * g.threads.z);
  thread_count = block_threads * static_cast<int>(g.cluster);
  threads.resize(static_cast<size_t>(thread_count));
  for (int t = 0; t < thread_count; ++t) {
    const auto n = static_cast<unsigned>(t % block_threads), across = n / g.threads.x;
    Thread& thread = threads[static_cast<size_t>(t)];
    thread.index = {n % g.threads.x, across % g.threads.y, across / g.threads.y};
    thread.block = &blocks[t / block_threads];
    thread.at_cluster = Thread::elsewhere;
  }
  for (unsigned b = 0; b < g.cluster; ++b) {
    blocks[b].first = static_cast<int>(b) * block_threads;
    blocks[b].shared = allocate_guarded(g.shared_bytes);
  }

  Order chance;
  std::vector<int64_t> clusters;
  const int64_t in_row = g.blocks.x / g.cluster;
  chance.fill(clusters, in_row * g.blocks.y * g.blocks.z);
  for (const int64_t c : clusters) {
    const int64_t across = c / in_row;
    run_cluster(chance, {static_cast<unsigned>(c % in_row) * g.cluster, static_cast<unsigned>(across % g.blocks.y),
                         static_cast<unsigned>(across / g.blocks.y)});
  }
  for (unsigned b = 0; b < g.cluster; ++b) free_guarded(blocks[b].shared, g.shared_bytes);
  check_memory();
  grid = nullptr;
}

unsigned char* shared_memory() { return current->block->shared; }
size_t shared_bytes() { return grid->shared_bytes; }
int this_thread() { return static_cast<int>(current - threads.data()); }

void sleep(Sleepers& sleepers) {
  sleepers.push_back(this_thread());
  ++asleep;
  wait();
}
void wake(Sleepers& sleepers) {
  if (reverse) std::reverse(sleepers.begin(), sleepers.end());
  for (const int t : sleepers) {
    Thread& thread = threads[static_cast<size_t>(t)];
    if (hurry) {
      Block& b = *thread.block;
      b.ready_first = (b.ready_first + kMaxThreads - 1) % kMaxThreads;
      b.ready[b.ready_first] = &thread;
      ++b.ready_count;
    } else {
      wake(thread);
    }
  }
  asleep -= static_cast<int>(sleepers.size());
  sleepers.clear();
}
Copies& copies() { return current->copies; }

void meet_block() {
  Block& block = *current->block;
  if (++block.at_barrier == block_threads) {
    block.at_barrier = 0;
    for (const int64_t t : order) wake(thread_of(block, t));
  }
  wait();
}

unsigned cluster_rank() { return static_cast<unsigned>(current->block - blocks); }

void arrive_at_cluster() {
  if (current->at_cluster == Thread::arrived) mistake("a thread arrives twice at a barrier of the cluster");
  current->at_cluster = Thread::arrived;
  ++current->phase;
  if (++at_cluster_barrier < thread_count) return;
  at_cluster_barrier = 0;
  ++phase;
  for (const int64_t b : block_order)
    for (const int64_t t : order)
      if (Thread& thread = thread_of(blocks[b], t); thread.at_cluster == Thread::waiting) wake(thread);
}

void wait_for_cluster() {
  if (current->at_cluster != Thread::arrived)
    mistake("a thread waits at a barrier of the cluster without having arrived");
  if (current->phase > phase) {
    current->at_cluster = Thread::waiting;
    wait();
  }
  current->at_cluster = Thread::elsewhere;
}

void* peer_memory(const void* own, unsigned rank) {
  const auto* const p = static_cast<const unsigned char*>(own);
  const Block& block = *current->block;
  if (!block.holds(p, grid->shared_bytes)) mistake("only an address in the block's own shared memory has a peer");
  if (rank >= grid->cluster) mistake("the cluster has no block of that number");
  Block& peer = blocks[rank];
  if (&peer == &block) return const_cast<unsigned char*>(p);
  if (peer.alive == 0) mistake("a block uses shared memory of another of its cluster, which has ended");
  peer.mapped_in_phase = std::max(peer.mapped ? peer.mapped_in_phase : 0, current->phase);
  peer.mapped = true;
  return peer.shared + (p - block.shared);
}

void meet_lanes(unsigned mask, void* mine, Act act) {
  Block& block = *current->block;
  const auto me = static_cast<int>(current - threads.data()) - block.first, first = me / kWarp * kWarp;
  const int lane = me - first;
  if (!(mask >> lane & 1)) mistake("a thread is at a warp function whose mask leaves it out");
  if (block_threads - first < kWarp && mask >> (block_threads - first))
    mistake("a mask names lanes the block does not have");
  Warp& warp = block.warps[me / kWarp];
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
    if (l != lane && mask >> l & 1) wake(thread_of(block, first + l));
  }
}

}  // namespace emulation
