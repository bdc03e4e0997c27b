// Memory of GPUs, kept for reuse: cudaMalloc takes long and cudaFree waits for all work. Memory
// comes from CUDA in segments that are split into blocks; a block that is released joins its free
// neighbours and serves the stream it was made for, in whose order nothing can go wrong.
// FASTNN_CUDA_CACHE=0 takes every block from CUDA, so that tools see its bounds.
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "cuda/kernel.cuh"
#include "cuda/runtime.h"

namespace fnn::cuda {
namespace {

constexpr size_t kAlign = 512;
constexpr size_t kSmall = size_t{1} << 20;         // blocks up to this
constexpr size_t kSmallSegment = size_t{2} << 20;  // come from segments of this size,
constexpr size_t kMedium = size_t{10} << 20;       // larger ones up to this
constexpr size_t kMediumSegment = size_t{20} << 20;
constexpr size_t kLargeMultiple = size_t{2} << 20;

constexpr size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

size_t segment_size(size_t bytes) {
  return bytes <= kSmall ? kSmallSegment : bytes <= kMedium ? kMediumSegment : round_up(bytes, kLargeMultiple);
}

struct Block {
  char* start;
  size_t bytes;
  Stream* stream;
  bool small;
  bool free = false;
  Block *before = nullptr, *after = nullptr;  // its neighbours in the segment
  std::vector<const Stream*> users = {};      // other streams whose work used it

  bool whole() const { return !before && !after; }
};

struct BySize {
  bool operator()(const Block* a, const Block* b) const {
    return a->bytes != b->bytes ? a->bytes < b->bytes : a->start < b->start;
  }
};
using FreeList = std::set<Block*, BySize>;

// Released, but another stream's work may not be through with it.
struct Pending {
  Block* block;
  std::vector<cudaEvent_t> events;
};

class Allocator {
 public:
  void* allocate(Stream& s, size_t bytes) {
    check_alive();
    select(s.device.gpu);
    std::lock_guard lock(mutex_);
    settle(false);
    const size_t size = caching_ ? round_up(bytes == 0 ? 1 : bytes, kAlign) : bytes == 0 ? 1 : bytes;
    Block* block = caching_ ? take(s, size) : nullptr;
    if (!block) block = make(s, size, bytes);
    block->free = false;
    in_use_[block->start] = block;
    used_bytes_[s.device.gpu] += block->bytes;
    return block->start;
  }

  void release(void* p) noexcept {
    std::lock_guard lock(mutex_);
    const auto at = in_use_.find(p);
    if (at == in_use_.end()) return;
    Block* block = at->second;
    in_use_.erase(at);
    used_bytes_[block->stream->device.gpu] -= block->bytes;
    if (block->users.empty()) return give(block);
    try {
      Pending pending{block, {}};
      for (const Stream* s : block->users) {
        cudaEvent_t e;
        select(s->device.gpu);
        check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "making an event");
        pending.events.push_back(e);
        check(cudaEventRecord(e, handle(*s)), "recording an event");
      }
      block->users.clear();
      pending_.push_back(std::move(pending));
    } catch (const CudaFailure&) {  // never to be used again
    }
  }

  void used(void* p, const Stream& s) {
    std::lock_guard lock(mutex_);
    const auto at = in_use_.find(p);
    if (at == in_use_.end() || at->second->stream == &s) return;
    auto& users = at->second->users;
    for (const Stream* known : users)
      if (known == &s) return;
    users.push_back(&s);
  }

  size_t allocated(int gpu) {
    std::lock_guard lock(mutex_);
    return used_bytes_[gpu];
  }
  size_t reserved(int gpu) {
    std::lock_guard lock(mutex_);
    return reserved_bytes_[gpu];
  }
  void empty_cache() {
    check_alive();
    std::lock_guard lock(mutex_);
    settle(true);
    drop_segments();
  }

 private:
  FreeList& list(Stream* s, bool small) { return free_[{s, small}]; }

  // The smallest free block that is large enough, its rest split off.
  Block* take(Stream& s, size_t size) {
    FreeList& blocks = list(&s, size <= kSmall);
    Block wanted{nullptr, size, &s, size <= kSmall};
    const auto at = blocks.lower_bound(&wanted);
    if (at == blocks.end()) return nullptr;
    Block* block = *at;
    blocks.erase(at);
    return split(block, size);
  }

  Block* split(Block* block, size_t size) {
    if (block->bytes - size < (block->small ? kAlign : kSmall)) return block;
    auto* rest = new Block{block->start + size, block->bytes - size, block->stream, block->small};
    rest->before = block;
    rest->after = block->after;
    if (rest->after) rest->after->before = rest;
    block->after = rest;
    block->bytes = size;
    rest->free = true;
    list(rest->stream, rest->small).insert(rest);
    return block;
  }

  // A new segment; `asked` is for the message where there is no room.
  Block* make(Stream& s, size_t size, size_t asked) {
    const size_t bytes = caching_ ? segment_size(size) : size;
    void* p = nullptr;
    if (cudaMalloc(&p, bytes) != cudaSuccess) {
      cudaGetLastError();
      settle(true);
      drop_segments();
      check_malloc(cudaMalloc(&p, bytes), s.device.gpu, asked);
    }
    reserved_bytes_[s.device.gpu] += bytes;
    auto* block = new Block{static_cast<char*>(p), bytes, &s, size <= kSmall};
    return caching_ ? split(block, size) : block;
  }

  void check_malloc(cudaError_t code, int gpu, size_t asked) {
    if (code != cudaErrorMemoryAllocation) return check(code, "taking memory");
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    const size_t used = used_bytes_[gpu], cached = reserved_bytes_[gpu] - used;
    throw CudaFailure{"out of memory on cuda:" + std::to_string(gpu) + ": " + std::to_string(asked) +
                          " bytes were asked for; of " + std::to_string(total) + " bytes " + std::to_string(free) +
                          " are free, tensors hold " + std::to_string(used) + ", and " + std::to_string(cached) +
                          " are cached in pieces too small",
                      true};
  }

  // Free again: one block with its free neighbours.
  void give(Block* block) {
    if (!caching_) {
      drop(block);
      return;
    }
    block->free = true;
    if (Block* next = block->after; next && next->free) {
      list(next->stream, next->small).erase(next);
      absorb_next(block);
    }
    if (Block* last = block->before; last && last->free) {
      list(last->stream, last->small).erase(last);
      absorb_next(last);
      block = last;
    }
    list(block->stream, block->small).insert(block);
  }

  static void absorb_next(Block* block) {
    Block* next = block->after;
    block->bytes += next->bytes;
    block->after = next->after;
    if (block->after) block->after->before = block;
    delete next;
  }

  void drop(Block* block) {
    reserved_bytes_[block->stream->device.gpu] -= block->bytes;
    cudaFree(block->start);  // waits for the work that uses it
    delete block;
  }

  // Gives back what other streams are done with, or, `waiting`, all that they were given.
  void settle(bool waiting) {
    for (auto at = pending_.begin(); at != pending_.end();) {
      bool done = true;
      for (const cudaEvent_t e : at->events)
        if (waiting)
          check(cudaEventSynchronize(e), "waiting for an event");
        else if (const cudaError_t state = cudaEventQuery(e); state == cudaErrorNotReady)
          done = false;
        else
          check(state, "asking for an event");
      if (!done) {
        cudaGetLastError();
        ++at;
        continue;
      }
      for (const cudaEvent_t e : at->events) cudaEventDestroy(e);
      give(at->block);
      at = pending_.erase(at);
    }
  }

  void drop_segments() {
    for (auto& [key, blocks] : free_)
      for (auto at = blocks.begin(); at != blocks.end();) {
        Block* block = *at;
        if (!block->whole()) {
          ++at;
          continue;
        }
        at = blocks.erase(at);
        drop(block);
      }
  }

  std::mutex mutex_;
  const bool caching_ = !setting("FASTNN_CUDA_CACHE", "0");
  std::map<std::pair<Stream*, bool>, FreeList> free_;
  std::unordered_map<void*, Block*> in_use_;
  std::deque<Pending> pending_;
  std::map<int, size_t> used_bytes_, reserved_bytes_;
};

Allocator& allocator() {
  static auto* a = new Allocator;  // outlives every tensor
  return *a;
}

thread_local std::vector<void*> workspaces;  // of the kernel that this thread is starting
thread_local GraphWorkspace* of_graph;       // that this thread records

}  // namespace

// Blocks that a graph's kernels have one after the other, for as long as it lives.
struct GraphWorkspace {
  struct Piece {
    void* p;
    size_t bytes;
    bool busy;
  };
  std::vector<Piece> pieces;

  void* take(Stream& s, size_t bytes) {
    Piece* best = nullptr;
    for (Piece& piece : pieces)
      if (!piece.busy && piece.bytes >= bytes && (!best || piece.bytes < best->bytes)) best = &piece;
    if (!best) best = &pieces.emplace_back(Piece{allocate(s, bytes), bytes, false});
    best->busy = true;
    return best->p;
  }
};

void* allocate(Stream& s, size_t bytes) { return allocator().allocate(s, bytes); }
void release(void* p) noexcept { allocator().release(p); }
void used(void* p, const Stream& s) { allocator().used(p, s); }
size_t allocated(int gpu) { return allocator().allocated(gpu); }
size_t reserved(int gpu) { return allocator().reserved(gpu); }
void empty_cache() { allocator().empty_cache(); }

void* workspace(Stream& s, size_t bytes) {
  if (of_graph) return of_graph->take(s, bytes);
  workspaces.push_back(allocate(s, bytes));
  return workspaces.back();
}

void release_workspace() noexcept {
  if (of_graph)
    for (GraphWorkspace::Piece& piece : of_graph->pieces) piece.busy = false;
  for (void* p : workspaces) release(p);
  workspaces.clear();
}

GraphWorkspace* begin_graph_workspace() { return of_graph = new GraphWorkspace; }
void end_graph_workspace() noexcept { of_graph = nullptr; }
void drop_graph_workspace(GraphWorkspace* w) noexcept {
  if (!w) return;
  for (const GraphWorkspace::Piece& piece : w->pieces) release(piece.p);
  delete w;
}

}  // namespace fnn::cuda
