#include "cuda/fold.cuh"
#include "ops/cross_entropy/tile.cuh"

namespace fnn::cuda {
namespace {

constexpr int kRowPack = 2;  // rows whose labels are read at once

// What the mean divides by, on the device; null where nothing is divided.
template <class T, template <class> class Args>
T* total_weight(Stream& s, const Args<T>& a) {
  if (a.reduction != Reduction::mean) return nullptr;
  T* total = static_cast<T*>(workspace(s, sizeof(T)));
  fold_long_rows<Sum<T>, kRowPack>(s, 1, a.n, labels_of(a), ScaledSum<T>{total, T(1)});
  return total;
}

// give: the loss, from the sums of row losses and of weights.
template <class T>
struct Mean {
  T* loss;
  bool divides;
  __device__ void operator()(int64_t, const Two<T>& s) const { *loss = divides ? s.first / s.second : s.first; }
};

// The sum of f(i) for i in [0, n) over the block, the same in all its threads.
template <class T, class F>
__device__ T sum_over_block(int64_t n, const F& f) {
  T total = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) total += f(i);
  T* warps = shared_memory<T>();
  total = warp_sum(total);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = total;
  __syncthreads();
  total = 0;
  for (int i = 0; i < static_cast<int>(blockDim.x) / kWarp; ++i) total += warps[i];
  __syncthreads();
  return total;
}

// A team takes a row: its softmax, loss and gradient. The divisor of the mean is known before, as
// the gradient needs it. When `alone`, one block has all rows, and sees to both sums as well.
template <class T, int Lanes, int Packs, bool alone>
__global__ void __launch_bounds__(alone ? 1024 : Team<Lanes>::kThreads)
    cross_entropy_kernel(CrossEntropyArgs<T> a, const T* total_weight) {
  const Labels<T> labels = labels_of(a);
  T divisor(1);
  if (a.reduction == Reduction::mean) {
    if (!a.target)
      divisor = static_cast<T>(a.n);
    else if constexpr (alone)
      divisor = sum_over_block<T>(a.n, [&](int64_t i) { return labels.counts(a.target[i]); });
    else
      divisor = *total_weight;
  }
  const Team<Lanes> team;
  team.for_rows(a.n, [&](int64_t r, bool exists) { cross_entropy_row<T, Lanes, Packs>(a, divisor, team, r, exists); });
  if constexpr (alone) {
    if (a.reduction == Reduction::none) return;
    __syncthreads();
    const T total = sum_over_block<T>(a.n, [&](int64_t i) { return a.row_loss[i]; });
    if (threadIdx.x == 0) *a.loss = total / divisor;
  }
}

template <class T>
void sum_losses(Stream& s, const CrossEntropyArgs<T>& args, const T* total_weight) {
  const T n = args.reduction == Reduction::mean ? static_cast<T>(args.n) : T(1);
  fold_long_rows<Sum<T>, Vec<T>::N>(
      s, 1, args.n, [x = args.row_loss] __device__(int64_t, auto at) { return at.load(x); },
      [y = args.loss, total_weight, n] __device__(int64_t, const Sum<T>& s) {
        *y = s.total / (total_weight ? *total_weight : n);
      });
}

}  // namespace

template <class T>
void cross_entropy(Stream& s, const CrossEntropyArgs<T>& a) {
  by_length<T>(a.classes, [&]<int Lanes, int Packs>() {
    if constexpr (Packs == 1) {
      constexpr int64_t kMost = 1024;  // threads of a block, which goes over its rows twice at most
      if (const int64_t threads = a.n * Lanes; threads <= 2 * kMost) {
        const int64_t block = threads < kMost ? div_up(threads > 0 ? threads : 1, kWarp) * kWarp : kMost;
        return start(s, &cross_entropy_kernel<T, Lanes, Packs, true>, 1, static_cast<unsigned>(block),
                     kWarp * sizeof(T), a, nullptr);
      }
    }
    const T* total = a.target ? total_weight(s, a) : nullptr;
    start_teams<Lanes>(s, &cross_entropy_kernel<T, Lanes, Packs, false>, a.n, a, total);
    if (a.reduction == Reduction::none) return;
    sum_losses(s, a, total);
  });
}

template <class T>
void scale_rows(Stream& s, const ScaleRowsArgs<T>& args) {
  if (args.single)
    for_packs<T>(s, args.n * args.width,
                 [a = args] __device__(auto at) { at.store(a.dx, at.load(a.x) * Vec<T>(*a.dy)); });
  else
    for_rows<T>(s, args.n, args.width, [a = args] __device__(int64_t row, auto at) {
      at.store(a.dx + row * a.width, at.load(a.x + row * a.width) * Vec<T>(a.dy[row]));
    });
}

template <class T>
void nll_fwd(Stream& s, const NllFwdArgs<T>& args) {
  const auto row = [a = args] __device__(int64_t i) {
    const Labels<T> labels = labels_of(a);
    const int64_t t = a.target[i];
    const T w = labels.counts(t);
    const T loss = t == a.ignore_index ? T(0) : labels.valid(t) ? -a.x[i * a.classes + t] * w : w;
    a.row_loss[i] = loss;
    return Two<T>{loss, w};
  };
  if (args.reduction == Reduction::none) return for_each(s, args.n, row);
  const auto load = [row] __device__(int64_t, auto at) {
    Pack<Two<T>, 1> terms;
    terms.v[0] = row(at.i);
    return terms;
  };
  fold_long_rows<Two<T>, 1>(s, 1, args.n, load, Mean<T>{args.loss, args.reduction == Reduction::mean});
}

template <class T>
void nll_bwd(Stream& s, const NllBwdArgs<T>& args) {
  const T* divisor = total_weight(s, args);
  for_rows<T>(s, args.n, args.classes, [a = args, divisor] __device__(int64_t row, auto at) {
    const int64_t t = a.target[row];
    const T dy = a.dy[a.reduction == Reduction::none ? row : 0];
    const T hit = t == a.ignore_index ? T(0) : -(divisor ? dy / *divisor : dy) * labels_of(a).counts(t);
    Vec<T> dx;
    for (int j = 0; j < Vec<T>::N; ++j) dx.v[j] = at.i + j == t ? hit : T(0);
    at.store(a.dx + row * a.classes, dx);
  });
}

#include "isa/instantiate.h"
#include "ops/cross_entropy/kernels.inc"

}  // namespace fnn::cuda
