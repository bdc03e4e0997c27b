#include "hopper.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "runtime.h"

namespace emulation {
namespace {

constexpr int kRowBytes = 128;

// Where a byte of a box lies: the pieces of 16 bytes of a row of 128 change places, by the row.
unsigned swizzled(unsigned address) { return address ^ ((address >> 7 & 7) << 4); }

unsigned char* in_shared(unsigned address, size_t bytes) {
  if (address + bytes > shared_bytes()) mistake("a matrix reaches beyond the shared memory");
  return shared_memory() + address;
}

int this_warp() { return this_thread() / kWarp; }

// --- barriers ------------------------------------------------------------------------------------

struct Box {
  CUtensorMap map;
  int64_t col, row;
  unsigned to;
};

struct Barrier {
  int arrivals, missing, maker;
  int64_t bytes = 0;  // promised, and not there
  unsigned parity = 0;
  bool ready = false;   // for copies to use
  bool wanted = false;  // somebody waits for the end of this phase
  std::vector<Box> boxes = {};
  Sleepers waiting = {};
};
std::unordered_map<uint64_t*, Barrier> barriers;
constexpr uint64_t kMark = 0x6261727269657221;  // what lies in their place

struct Meeting {
  int threads = 0, arrived = 0;
  Sleepers waiting;
};
Meeting meetings[16];

Barrier& barrier_at(uint64_t* p) {
  const auto found = barriers.find(p);
  if (found == barriers.end()) mistake("a barrier that was not initialised");
  if (*p != kMark) mistake("something has written over a barrier");
  return found->second;
}

void copy(const Box& box) {
  const CUtensorMap& m = box.map;
  for (int64_t r = 0; r < m.box_rows; ++r) {
    const int64_t row = box.row + r;
    const int64_t bytes = row < 0 || row >= static_cast<int64_t>(m.rows) ? 0 : static_cast<int64_t>(m.cols) * m.bytes;
    for (int64_t at = 0; at < kRowBytes; at += 16) {
      const int64_t from = box.col * m.bytes + at, exist = std::clamp<int64_t>(bytes - from, 0, 16);
      unsigned char* const to = shared_memory() + swizzled(box.to + static_cast<unsigned>(r * kRowBytes + at));
      std::memset(to, 0, 16);
      if (exist > 0) std::memcpy(to, m.x + row * static_cast<int64_t>(m.stride) + from, static_cast<size_t>(exist));
    }
  }
}

// Ends the phase if nothing is missing. Boxes arrive when that is all that somebody waits for.
void settle(Barrier& b) {
  if (b.missing > 0 || (!b.boxes.empty() && !b.wanted)) return;
  for (const Box& box : b.boxes) {
    copy(box);
    b.bytes -= int64_t{box.map.box_rows} * kRowBytes;
  }
  b.boxes.clear();
  if (b.bytes < 0) mistake("more bytes come to a barrier than were promised");
  if (b.bytes > 0) return;
  b.missing = b.arrivals;
  b.parity ^= 1;
  b.wanted = false;
  wake(b.waiting);
}

// --- products ------------------------------------------------------------------------------------

struct Factors {
  uint64_t a, b;
  bool bf16;

  bool operator==(const Factors&) const = default;
};
struct Product {
  Factors factors;
  int group;
};
struct Warp {
  unsigned fenced = 0;  // lanes
  int group = 0;        // that is being filled
  size_t begun = 0;
  std::vector<Product> pending;
  float* d[kWarp];  // while products are pending, poison; the sums are here
  float sum[kProductRows / 4][kProductCols];
};
constexpr int kSums = kProductRows * kProductCols / 128;
Warp warps[kMaxThreads / kWarp];
std::vector<Factors> begun[kMaxThreads / 128];  // of each warpgroup, by whichever warp came first

// f(sum, the lane's register of it)
template <class F>
void for_sums(Warp& w, const F& f) {
  for (int lane = 0; lane < kWarp; ++lane)
    for (int i = 0; i < kSums; ++i)
      f(w.sum[lane / 4 + 8 * (i / 2 % 2)][8 * (i / 4) + 2 * (lane % 4) + i % 2], w.d[lane][i]);
}
void check_untouched(const Warp& w) {
  static const std::vector<unsigned char> poison(kSums * sizeof(float), 0xff);
  for (const float* d : w.d)
    if (std::memcmp(d, poison.data(), poison.size()) != 0) mistake("sums were written while products are under way");
}

// Numbers of 32 bytes of a row of a matrix, as the manual says of descriptors.
template <class Number>
void read_row(uint64_t matrix, int row, Number* to) {
  if (matrix >> 62 != 1 || (matrix >> 49 & 7) != 0) mistake("a matrix that is not in swizzled rows of 128 bytes");
  const auto first = static_cast<unsigned>(matrix & 0x3fff) << 4, stride = static_cast<unsigned>(matrix >> 32 & 0x3fff)
                                                                           << 4;
  for (unsigned half = 0; half < 2; ++half) {
    const auto r = static_cast<unsigned>(row);
    const unsigned address = swizzled(first + r / 8 * stride + r % 8 * kRowBytes + 16 * half);
    std::memcpy(to + half * 16 / sizeof(Number), in_shared(address, 16), 16);
  }
}
float value(uint32_t tf32) { return __uint_as_float(tf32 & 0xffffe000); }
float value(uint16_t bf16) { return __uint_as_float(uint32_t{bf16} << 16); }

template <class Number>
void multiply(const Factors& f, int quarter, float (&sum)[kProductRows / 4][kProductCols]) {
  constexpr int kDepth = 32 / sizeof(Number);
  static float b[kDepth][kProductCols];
  Number row[kDepth];
  for (int j = 0; j < kProductCols; ++j) {
    read_row(f.b, j, row);
    for (int k = 0; k < kDepth; ++k) b[k][j] = value(row[k]);
  }
  for (int i = 0; i < kProductRows / 4; ++i) {
    read_row(f.a, quarter * (kProductRows / 4) + i, row);
    for (int k = 0; k < kDepth; ++k) {
      const float a = value(row[k]);
      for (int j = 0; j < kProductCols; ++j) sum[i][j] = std::fma(a, b[k][j], sum[i][j]);
    }
  }
}

struct Operands {
  float* d;
  Factors factors;
};

void begin(void** lane, unsigned) {
  Warp& w = warps[this_warp()];
  const auto& first = *static_cast<Operands*>(lane[0]);
  if (w.fenced != ~0u) mistake("a product whose sums had no wgmma_fence since they could be written");
  if (!w.pending.empty()) check_untouched(w);
  for (int l = 0; l < kWarp; ++l) {
    const auto& mine = *static_cast<Operands*>(lane[l]);
    if (!(mine.factors == first.factors)) mistake("lanes of a warp multiply different matrices");
    if (!w.pending.empty() && w.d[l] != mine.d) mistake("a product into other sums than those under way");
    w.d[l] = mine.d;
  }
  if (w.pending.empty())
    for_sums(w, [](float& sum, float& d) {
      sum = d;
      std::memset(&d, 0xff, sizeof d);
    });
  std::vector<Factors>& all = begun[this_warp() / 4];
  if (w.begun == all.size()) all.push_back(first.factors);
  if (!(all[w.begun++] == first.factors)) mistake("warps of a warpgroup multiply different matrices");
  w.pending.push_back({first.factors, w.group});
}

void commit(void**, unsigned) { ++warps[this_warp()].group; }

void finish(void** lane, unsigned) {
  Warp& w = warps[this_warp()];
  const int groups = *static_cast<int*>(lane[0]);
  size_t done = 0;
  for (; done < w.pending.size() && w.pending[done].group < w.group - groups; ++done) {
    const Factors& f = w.pending[done].factors;
    f.bf16 ? multiply<uint16_t>(f, this_warp() % 4, w.sum) : multiply<uint32_t>(f, this_warp() % 4, w.sum);
  }
  if (done == 0) return;
  w.pending.erase(w.pending.begin(), w.pending.begin() + static_cast<std::ptrdiff_t>(done));
  if (!w.pending.empty()) return;
  check_untouched(w);
  for_sums(w, [](float& sum, float& d) { d = sum; });
  w.fenced = 0;
}

}  // namespace

unsigned shared_address(const void* p) {
  return static_cast<unsigned>(static_cast<const unsigned char*>(p) - shared_memory());
}

void barrier_init(uint64_t* barrier, int arrivals) {
  in_shared(shared_address(barrier), sizeof *barrier);
  if (!barriers.insert({barrier, {arrivals, arrivals, this_thread()}}).second) mistake("a barrier initialised twice");
  *barrier = kMark;
}
void barriers_ready() {
  for (auto& [p, b] : barriers) b.ready |= b.maker == this_thread();
}
void barrier_arrive(uint64_t* barrier, int promised) {
  Barrier& b = barrier_at(barrier);
  if (b.missing == 0) mistake("an arrival too many at a barrier, before its bytes were waited for");
  if (promised < 0 || b.bytes + promised >= 1 << 20) mistake("more bytes are promised than a barrier can count");
  --b.missing;
  b.bytes += promised;
  settle(b);
}
void barrier_wait(uint64_t* barrier, unsigned parity) {
  Barrier& b = barrier_at(barrier);
  if (b.parity != parity) return;
  b.wanted = true;
  settle(b);
  if (b.parity == parity) sleep(b.waiting);
}

void meet(int number, int threads) {
  if (number < 1 || number > 15 || threads % kWarp != 0)
    mistake("a barrier of another number than 1 to 15, or of parts of warps");
  Meeting& m = meetings[number];
  if (m.arrived > 0 && m.threads != threads)
    mistake("threads come to one barrier and expect different numbers of them");
  m.threads = threads;
  if (++m.arrived < threads) return sleep(m.waiting);
  m.arrived = 0;
  wake(m.waiting);
}

void load_box(void* shared, const CUtensorMap& map, int col, int row, uint64_t* barrier) {
  Barrier& b = barrier_at(barrier);
  if (!b.ready) mistake("a copy for a barrier that barriers_ready() has not shown");
  const unsigned to = shared_address(shared);
  const size_t bytes = size_t{map.box_rows} * kRowBytes;
  if (to % 1024 != 0) mistake("a box at an address that is no multiple of 1024");
  if (col < 0) mistake("a box that begins before the matrix");
  std::memset(in_shared(to, bytes), 0xff, bytes);
  b.boxes.push_back({map, col, row, to});
  settle(b);
}

void wgmma_fence() { warps[this_warp()].fenced |= 1u << this_thread() % kWarp; }
void wgmma(float* d, uint64_t a, uint64_t b, bool bf16) {
  Operands mine{d, {a, b, bf16}};
  meet_lanes(~0u, &mine, &begin);
}
void wgmma_commit() { meet_lanes(~0u, nullptr, &commit); }
void wgmma_wait(int groups) { meet_lanes(~0u, &groups, &finish); }

void end_hopper() {
  for (const auto& [p, b] : barriers)
    if (!b.boxes.empty()) mistake("a block ends with copies under way");
  barriers.clear();
  for (Warp& w : warps) {
    if (!w.pending.empty()) mistake("a block ends with products under way");
    if (w.begun != begun[(&w - warps) / 4].size()) mistake("warps of a warpgroup multiply different matrices");
    w.begun = 0;
    w.group = 0;
    w.fenced = 0;
  }
  for (auto& all : begun) all.clear();
}

}  // namespace emulation

// --- of the driver ---------------------------------------------------------------------------------

CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                                const cuuint64_t* size, const cuuint64_t* stride, const cuuint32_t* box,
                                const cuuint32_t* element_stride, CUtensorMapInterleave, CUtensorMapSwizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  const uint32_t bytes = type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 ? 2 : 4;
  constexpr uint64_t kMostSize = uint64_t{1} << 32, kMostStride = uint64_t{1} << 40;
  const bool sizes = size[0] > 0 && size[0] <= kMostSize && size[1] > 0 && size[1] <= kMostSize;
  const bool strides = stride[0] % 16 == 0 && stride[0] < kMostStride && stride[0] >= size[0] * bytes;
  const bool boxes = box[0] * bytes == emulation::kRowBytes && box[1] > 0 && box[1] <= 256;
  if (rank != 2 || reinterpret_cast<uintptr_t>(address) % 16 != 0 || !sizes || !strides || !boxes ||
      element_stride[0] != 1 || element_stride[1] != 1)
    return CUDA_ERROR_INVALID_VALUE;
  *map = {static_cast<const unsigned char*>(address), size[0], size[1], stride[0], box[0], box[1], bytes};
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool known = std::strcmp(name, "cuTensorMapEncodeTiled") == 0;
  *function = known ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled) : nullptr;
  *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return emulation::state();
}
