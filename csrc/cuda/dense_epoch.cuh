// Whole epochs of a small network in one kernel: one cluster of blocks, which keeps parameters and
// optimizer's state in shared memory from the first step to the last. (Hopper and later.)
//
// Each block has some of the hidden units, and of both layers what belongs to them:
//
//   h = act(x w1^T + b1)     its own columns of h
//   partial = h w2^T         from these: its part of the sums that the logits are
//   -- barrier of the cluster; all blocks add up the parts of all, in order --
//   dx = softmax ...         the whole of it, in every block: a batch has few logits
//   g = (dx w2) act'(h)      its own columns
//   w2 -= ..., w1 -= ...     its own columns, its own rows; b2 in every block the same
//
// So a step has one barrier of the cluster, and (batch, classes) numbers a block are all that blocks
// exchange. The rows of x come by asynchronous copies while those before them are worked on.
//
// By arithmetic alone, and not measured: 784-128-10 in a cluster of 8, for each SM and step, where
// one has 128 fused multiply-adds and 128 bytes of shared memory a clock.
//
//   batch                                                        10         64
//   multiply-adds of both layers                          2,000     12,800 clocks
//   numbers read from shared memory for the products      3,000     16,100 clocks
//   w1 read twice and written; SGD without state          1,180      1,180 clocks
//   the same with momentum, with Adam              1,960, 2,740   the same
//   x from the L2 cache; chunks come twice but the last      31    340-380 KB
//   from the shared memory of the other blocks              2.8         18 KB
#pragma once

#include "cuda/cluster.cuh"
#include "cuda/dense_epoch.h"
#include "cuda/kernel.cuh"
#include "cuda/reduce.cuh"
#include "ops/count_correct/tile.h"
#include "ops/cross_entropy/tile.cuh"
#include "ops/optimizer/tile.h"
#include "ops/unary/tile.h"

namespace fnn::cuda {

constexpr int kMostWarps = 16;    // of a block: 128 registers a thread
constexpr int kMostClasses = 32;  // a row is a team's of 8 threads
constexpr int kRuleWords = 16;

// Of the first product a warp takes 4 units times so many rows, each lane some of the k: with r rows
// there are 16 r multiply-adds to 4 + r reads of 16 bytes, which every lane does for itself. The
// second product, of w1's gradient, has 16 to 1, and one that is the same for all lanes.
constexpr int kTileRows[] = {1, 2, 4, 5, 8, 12, 16};
constexpr int kMostTileRows = 16;

constexpr int up_to(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// What is where in a block's shared memory, counted in floats.
struct DenseLayout {
  int blocks, states;
  int units;           // of a block, a multiple of 4: places, the last ones of the cluster being empty
  int groups, rows;    // groups of warps share the rows of a batch, each having all units
  int row;             // numbers of a row of w1, a multiple of 4
  int chunk, chunks;   // so many of them are there of each row of x at once
  bool wide;           // rows of x are copied 16 bytes at a time
  int w1, b1, w2, b2;  // (1 + states) times each
  int rule, index, target, h, g, partial, logits, dlogits, row_loss, x;
  int total;

  int warps() const { return units / 4 * groups; }
};

// The sums of each of N numbers over the lanes of a warp. Lanes swap halves of what they have, so
// that each is left with a few sums: give(which, sum).
template <int Apart, int N, class Give>
__device__ void spread_sums(const float (&v)[N], int lane, int first, int count, const Give& give) {
  if constexpr (Apart == 0) {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (i < count) give(first + i, v[i]);
  } else {
    constexpr int kHalf = (N + 1) / 2;
    const bool upper = lane & Apart;
    float half[kHalf];
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float low = v[i], high = kHalf + i < N ? v[(kHalf + i) % N] : 0.f;
      half[i] = (upper ? high : low) + across(upper ? low : high, Apart);
    }
    const int low_count = count < kHalf ? count : kHalf;
    spread_sums<Apart / 2>(half, lane, upper ? first + kHalf : first, upper ? count - low_count : low_count, give);
  }
}

template <class Rule, int States>
class DenseTrainer {
 public:
  __device__ DenseTrainer(const DenseEpochArgs& a, const DenseLayout& l)
      : a(a),
        l(l),
        rank(static_cast<int>(cluster_rank())),
        lane(static_cast<int>(threadIdx.x) % kWarp),
        warp(static_cast<int>(threadIdx.x) / kWarp),
        threads(static_cast<int>(blockDim.x)),
        batch(static_cast<int>(a.batch)),
        classes(static_cast<int>(a.classes)),
        quads(l.units / 4) {
    const int64_t rest = a.hidden - int64_t{rank} * l.units;
    units = rest < 0 ? 0 : rest < l.units ? static_cast<int>(rest) : l.units;
  }

  __device__ void train() {
    for (int i = static_cast<int>(threadIdx.x); i < l.rule; i += threads) *shared_at(i) = 0;  // places without a number
    __syncthreads();
    move_parameters<true>();
    ask_order(0);
    ask_order(1);
    ask_rule(0);
    copies_commit();
    copies_wait<0>();
    __syncthreads();
    ask_chunk(0, 0);
    copies_commit();
    for (; step < a.steps; ++step) {
      with_rows([&]<int Rows>() { hidden_layer<Rows>(); });
      logits_and_loss();
      hidden_gradient();
      update();
    }
    arrive_at_cluster();  // nobody reads this block's part of the logits any more
    wait_for_cluster();
    move_parameters<false>();
  }

 private:
  // x, which the compiler does not see to be the same in each step: what follows from it is computed
  // anew, and takes no register from one step to the next.
  __device__ static int anew(int x) {
    asm volatile("" : "+r"(x));
    return x;
  }

  __device__ static float* shared_at(int offset) { return shared_memory<float>() + offset; }

  // Four numbers at a multiple of four, of which the first n exist.
  struct Quad {
    int i, n;
    __device__ Vec<float> load(const float* p) const { return *reinterpret_cast<const Vec<float>*>(p + i); }
    __device__ void store(float* p, const Vec<float>& v) const { *reinterpret_cast<Vec<float>*>(p + i) = v; }
  };

  // Of a parameter, and its state one behind the other.
  struct Place {
    int offset, size;
  };
  __device__ Place w1() const { return {l.w1, l.units * l.row}; }
  __device__ Place b1() const { return {l.b1, l.units}; }
  __device__ Place w2() const { return {l.w2, classes * l.units}; }
  __device__ Place b2() const { return {l.b2, up_to(classes, 4)}; }
  __device__ int64_t* index(int step) const {
    return reinterpret_cast<int64_t*>(shared_at(l.index)) + step % 3 * batch;
  }
  __device__ int64_t* target(int step) const {
    return reinterpret_cast<int64_t*>(shared_at(l.target)) + step % 2 * batch;
  }
  __device__ float* rule_at(int step) const { return shared_at(l.rule) + step % 2 * kRuleWords; }
  __device__ static Vec<float> four(const float* p) { return Quad{0, 4}.load(p); }

  // f(i) for i in [0, n), by all threads of the block.
  template <class F>
  __device__ void each(int n, const F& f) const {
#pragma unroll 1
    for (int i = anew(static_cast<int>(threadIdx.x)); i < n; i += threads) f(i);
  }

  template <class F>
  __device__ void with_rows(const F& f) const {
    switch (l.rows) {
      case 1: return f.template operator()<1>();
      case 2: return f.template operator()<2>();
      case 4: return f.template operator()<4>();
      case 5: return f.template operator()<5>();
      case 8: return f.template operator()<8>();
      case 12: return f.template operator()<12>();
      default: return f.template operator()<16>();
    }
  }

  // --- between global and shared memory ---------------------------------------------------------

  template <bool in>
  __device__ void move_parameters() const {
    const int64_t first = int64_t{rank} * l.units;
    const auto inputs = static_cast<int>(a.in), hidden = static_cast<int>(a.hidden);
    a.w1.transposed ? move<in>(a.w1, first, hidden, w1(), 1, l.row, inputs, units)
                    : move<in>(a.w1, first * inputs, inputs, w1(), l.row, 1, units, inputs);
    a.w2.transposed ? move<in>(a.w2, first * classes, classes, w2(), 1, l.units, units, classes)
                    : move<in>(a.w2, first, hidden, w2(), l.units, 1, classes, units);
    move<in>(a.b1, first, 0, b1(), 0, 1, 1, units);
    if (in || rank == 0) move<in>(a.b2, 0, 0, b2(), 0, 1, 1, classes);
  }
  // (rows, columns) numbers of a parameter and of its state, columns being neighbours there.
  template <bool in>
  __device__ void move(const DenseParameter& there, int64_t from, int row_there, const Place& here, int row_here,
                       int column_here, int rows, int columns) const {
    if (!there.p) return;
#pragma unroll 1
    for (int s = 0; s <= States; ++s) {
      float* const global = (s == 0 ? there.p : there.state[s - 1]) + from;
      float* const shared = shared_at(here.offset + s * here.size);
      each(rows * columns, [&](int i) {
        const int row = i / columns, column = i % columns;
        float& g = global[int64_t{row} * row_there + column];
        float& h = shared[row * row_here + column * column_here];
        in ? void(h = g) : void(g = h);
      });
    }
  }

  // Asks for what comes later: which rows a step takes, two steps ahead; the rule, one ahead.
  __device__ void ask_order(int of_step) const {
    if (of_step >= a.steps) return;
    each(batch, [&](int row) {
      const int64_t i = int64_t{of_step} * batch + row;
      a.order ? copy_async<8>(index(of_step) + row, a.order + i) : void(index(of_step)[row] = i);
    });
  }
  __device__ void ask_rule(int of_step) const {
    static_assert(sizeof(Rule) % 4 == 0 && sizeof(Rule) <= 4 * kRuleWords);
    if (of_step >= a.steps) return;
    const auto* from = reinterpret_cast<const float*>(static_cast<const Rule*>(a.rules) + of_step);
    each(sizeof(Rule) / 4, [&](int i) { copy_async<4>(rule_at(of_step) + i, from + i); });
  }

  // A step uses the chunks of x from the first to the last and, that one still being there, back to
  // the first: an odd number of turns, so that step and turn tell which buffer is whose.
  __device__ int turns() const { return 2 * l.chunks - 1; }
  __device__ int first_of(int chunk) const { return chunk * l.chunk; }
  __device__ int width_of(int chunk) const {
    const int rest = l.row - first_of(chunk);
    return rest < l.chunk ? rest : l.chunk;
  }
  __device__ float* buffer(int of_step, int turn) const {
    return shared_at(l.x) + (of_step + turn) % 2 * (l.groups * l.rows * l.chunk);
  }

  __device__ void ask_chunk(int of_step, int turn) const {
    if (of_step >= a.steps) return;
    const int chunk = turn < l.chunks ? turn : turns() - 1 - turn;
    const int64_t* const rows = index(of_step);
    const int first = first_of(chunk), n = width_of(chunk);
#pragma unroll 1
    for (int row = warp; row < batch; row += threads / kWarp) {
      float* const to = buffer(of_step, turn) + row * l.chunk;
      const float* const from = a.x + rows[row] * a.in + first;
      if (l.wide)
        for (int k = 4 * lane; k < n; k += 4 * kWarp) copy_async<16>(to + k, from + k);
      else
        for (int k = lane; k < n; k += kWarp) copy_async<4>(to + k, from + k, first + k < a.in);
    }
    if (turn == 0) each(batch, [&](int row) { copy_async<8>(target(of_step) + row, a.target + rows[row]); });
  }
  // The chunk of this turn; all are done with the one before, in whose place the next one comes.
  __device__ const float* take_chunk(int turn) const {
    copies_wait<0>();
    __syncthreads();
    turn + 1 < turns() ? ask_chunk(step, turn + 1) : ask_chunk(step + 1, 0);
    if (turn == 0) {
      ask_order(step + 2);
      ask_rule(step + 1);
    }
    copies_commit();
    return buffer(step, turn);
  }

  // --- a step -------------------------------------------------------------------------------------

  template <int Rows>
  __device__ void hidden_layer() const {
    constexpr int kWide = Rows > 8 ? 2 : 4;  // numbers read at once, as registers allow
    using Piece = Pack<float, kWide>;
    const int me = anew(lane), quad = anew(warp) % quads, group = anew(warp) / quads;
    float sum[4 * Rows] = {};
    for (int chunk = 0; chunk < l.chunks; ++chunk) {
      const float* const x = take_chunk(chunk) + group * Rows * l.chunk;
      const float* const w = shared_at(l.w1) + 4 * quad * l.row + first_of(chunk);
      const int n = width_of(chunk);
#pragma unroll 1
      for (int k = kWide * me; k < n; k += kWide * kWarp) {
        Piece wk[4];
#pragma unroll
        for (int u = 0; u < 4; ++u) wk[u] = *reinterpret_cast<const Piece*>(w + u * l.row + k);
#pragma unroll
        for (int r = 0; r < Rows; ++r) {
          const Piece xk = *reinterpret_cast<const Piece*>(x + r * l.chunk + k);
#pragma unroll
          for (int j = 0; j < kWide; ++j)
#pragma unroll
            for (int u = 0; u < 4; ++u) sum[4 * r + u] = fma(wk[u].v[j], xk.v[j], sum[4 * r + u]);
        }
      }
    }
    spread_sums<kWarp / 2>(sum, me, 0, 4 * Rows, [&](int i, float total) {
      const int row = group * Rows + i / 4, unit = 4 * quad + i % 4;
      if (row >= batch) return;
      float y = 0;
      if (unit < units)
        with_fusible(a.activation, [&](auto f) { y = f.value(total + *shared_at(l.b1 + unit), 0.f, 0.f); });
      *shared_at(l.h + row * l.units + unit) = y;
    });
    __syncthreads();
  }

  __device__ void logits_and_loss() const {
    float* const partial = shared_at(l.partial) + step % 2 * (batch * classes);
    each(batch * classes, [&](int i) {
      const float* const h = shared_at(l.h) + i / classes * l.units;
      const float* const w = shared_at(l.w2) + i % classes * l.units;
      float sum = 0;
      for (int u = 0; u < l.units; u += 4) {
        const Vec<float> hu = four(h + u), wu = four(w + u);
        for (int j = 0; j < 4; ++j) sum = fma(hu.v[j], wu.v[j], sum);
      }
      partial[i] = sum;
    });
    arrive_at_cluster();
    const CrossEntropyArgs<float> loss = cross_entropy();
    float divisor = 1;
    if (loss.reduction == Reduction::mean) {
      float total = 0;
      for (int row = lane; row < batch; row += kWarp) total += labels_of(loss).counts(loss.target[row]);
      divisor = warp_sum(total);
    }
    wait_for_cluster();
    // A block writes to its other part in the next step, and to this one only when all have read it.
    each(batch * classes, [&](int i) {
      float sum = *shared_at(l.b2 + i % classes);
      for (int b = 0; b < l.blocks; ++b) sum += *peer_memory(partial + i, static_cast<unsigned>(b));
      *shared_at(l.logits + i) = sum;
    });
    __syncthreads();
    constexpr int kLanes = kMostClasses / Vec<float>::N;
    const Team<kLanes> team;
    for (int first = 0; first < batch; first += threads / kLanes) {
      const int row = first + static_cast<int>(threadIdx.x) / kLanes;
      cross_entropy_row<float, kLanes, 1>(loss, divisor, team, row, row < batch);
    }
    __syncthreads();
    if (rank == 0 && warp == threads / kWarp - 1) tell(loss, divisor);
  }
  __device__ CrossEntropyArgs<float> cross_entropy() const {
    return {a.batch,        a.classes,   shared_at(l.logits), target(step),          nullptr, a.weight,
            a.ignore_index, a.smoothing, a.reduction,         shared_at(l.row_loss), nullptr, shared_at(l.dlogits)};
  }
  // The loss and the right answers, by one warp.
  __device__ void tell(const CrossEntropyArgs<float>& loss, float divisor) const {
    const CountCorrectArgs<float> answers{loss.n, loss.classes, loss.ignore_index, loss.x, loss.target, nullptr};
    float total = 0;
    int correct = 0;
    for (int row = lane; row < batch; row += kWarp) {
      total += loss.row_loss[row];
      correct += is_correct(answers, row);
    }
    total = warp_sum(total);
    correct = warp_sum(correct);
    if (lane != 0) return;
    a.losses[step] = total / divisor;
    a.correct[step] = correct;
  }

  __device__ void hidden_gradient() const {
    each(batch * quads, [&](int i) {
      const int row = i / quads, unit = 4 * (i % quads);
      Vec<float> dh(0);
      for (int c = 0; c < classes; ++c)
        dh = fma(Vec<float>(*shared_at(l.dlogits + row * classes + c)), four(shared_at(l.w2 + c * l.units + unit)), dh);
      const Quad at{row * l.units + unit, 4};
      with_fusible(a.activation, [&](auto f) {
        at.store(shared_at(l.g), dh * f.slope(at.load(shared_at(l.h)), Vec<float>(0), Vec<float>(0)));
      });
    });
    __syncthreads();
  }

  __device__ void update() const {
    Rule rule;
    memcpy(&rule, rule_at(step), sizeof rule);
    const auto move_on = [&](const Place& place, const Quad& at, const Vec<float>& g) {
      float* const held = shared_at(place.offset);
      float* state[3] = {};
#pragma unroll
      for (int s = 0; s < States; ++s) state[s] = held + (1 + s) * place.size;
      Vec<float> p = updated(rule, state, at, at.load(held), g);
      for (int j = 0; j < 4; ++j)
        if (j >= at.n) p.v[j] = 0;
      at.store(held, p);
    };
    // The sum over the rows of the batch.
    const auto over_rows = [&](const auto& f) {
      Vec<float> sum(0);
      for (int row = 0; row < batch; ++row) sum = f(row, sum);
      return sum;
    };
    each(quads * (classes + 1), [&](int i) {
      const int c = i / quads, unit = 4 * (i % quads);
      const float* const dlogits = shared_at(l.dlogits) + c;
      if (c < classes)
        move_on(w2(), {c * l.units + unit, units - unit}, over_rows([&](int row, const Vec<float>& sum) {
                  return fma(Vec<float>(dlogits[row * classes]), four(shared_at(l.h + row * l.units + unit)), sum);
                }));
      else if (a.b1.p)
        move_on(b1(), {unit, units - unit}, over_rows([&](int row, const Vec<float>& sum) {
                  return sum + four(shared_at(l.g + row * l.units + unit));
                }));
    });
    if (a.b2.p)
      each(static_cast<int>(div_up(classes, 4)), [&](int i) {
        const Quad at{4 * i, classes - 4 * i};
        move_on(b2(), at, over_rows([&](int row, Vec<float> sum) {
                  const float* const dlogits = shared_at(l.dlogits) + row * classes + at.i;
                  for (int j = 0; j < 4; ++j)
                    if (j < at.n) sum.v[j] += dlogits[j];
                  return sum;
                }));
      });

    for (int chunk = l.chunks - 1; chunk >= 0; --chunk) {
      const int turn = turns() - 1 - chunk;
      const float* const whole = turn < l.chunks ? buffer(step, turn) : take_chunk(turn);
      const int n = width_of(chunk), wide = static_cast<int>(div_up(n, 4 * kWarp));
      for (int task = anew(warp); task < quads * wide; task += threads / kWarp) {
        const int unit = 4 * (task % quads), k = 4 * (task / quads * kWarp + lane);
        if (k >= n) continue;
        Vec<float> dw[4] = {Vec<float>(0), Vec<float>(0), Vec<float>(0), Vec<float>(0)};
#pragma unroll 4
        for (int row = 0; row < batch; ++row) {
          const Vec<float> g = four(shared_at(l.g + row * l.units + unit)), x = four(whole + row * l.chunk + k);
#pragma unroll
          for (int u = 0; u < 4; ++u) dw[u] = fma(Vec<float>(g.v[u]), x, dw[u]);
        }
        const int first = first_of(chunk) + k;
#pragma unroll
        for (int u = 0; u < 4; ++u)
          if (unit + u < units) move_on(w1(), {(unit + u) * l.row + first, static_cast<int>(a.in) - first}, dw[u]);
      }
    }
  }

  const DenseEpochArgs& a;
  const DenseLayout& l;
  const int rank, lane, warp, threads, batch, classes, quads;
  int units;  // of this block that exist
  int step = 0;
};

}  // namespace fnn::cuda
