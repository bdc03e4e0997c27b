#include "cuda/kernel.cuh"
#include "ops/optimizer/tile.h"

namespace fnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kChunk = 1024;  // numbers of one parameter that a block owns

// All parameters in one launch: block b owns the (b - first[i])-th chunk of parameter i, the one with
// first[i] <= b < first[i + 1].
struct Chunks {
  unsigned first[kUpdateTensors + 1];
};

template <class T, class Rule>
__global__ void __launch_bounds__(kThreads)
    update_kernel(Parameters<T, Rule::kState> on, Changing<Rule> changing, Chunks chunks) {
  constexpr int N = Vec<T>::N;
  const Rule rule = changing.get();
  int i = 0;
  for (int half = kUpdateTensors / 2; half > 0; half /= 2)
    if (blockIdx.x >= chunks.first[i + half]) i += half;
  T* state[Rule::kState];
  for (int k = 0; k < Rule::kState; ++k) state[k] = on.state[i][k];
  T* const p = on.p[i];
  const T* const grad = on.grad[i];
  const int64_t begin = (blockIdx.x - chunks.first[i]) * kChunk;
  const int64_t end = on.n[i] - begin < kChunk ? on.n[i] : begin + kChunk;
  for (int64_t j = begin + threadIdx.x * N; j < end; j += kThreads * N) {
    const PackAt<N> at{j, static_cast<int>(end - j < N ? end - j : N)};
    at.store(p, updated(rule, state, at, at.load(p), at.load(grad)));
  }
}

template <class T, template <class> class Rule>
void update(Stream& s, const UpdateArgs<T, Rule>& a) {
  static_assert(sizeof a + sizeof(Chunks) < 4096, "what a kernel may be given");
  Chunks chunks = {};
  for (int i = 0; i < kUpdateTensors; ++i)
    chunks.first[i + 1] = chunks.first[i] + static_cast<unsigned>(i < a.on.count ? div_up(a.on.n[i], kChunk) : 0);
  start(s, &update_kernel<T, Rule<T>>, chunks.first[kUpdateTensors], kThreads, 0, a.on, a.rule, chunks);
}

}  // namespace

template <class T>
void sgd(Stream& s, const SgdArgs<T>& a) {
  update<T, SgdRule>(s, a);
}

template <class T>
void adam(Stream& s, const AdamArgs<T>& a) {
  update<T, AdamRule>(s, a);
}

template <class T>
void rmsprop(Stream& s, const RmspropArgs<T>& a) {
  update<T, RmspropRule>(s, a);
}

template <class T>
void adagrad(Stream& s, const AdagradArgs<T>& a) {
  update<T, AdagradRule>(s, a);
}

template <class T>
void adadelta(Stream& s, const AdadeltaArgs<T>& a) {
  update<T, AdadeltaRule>(s, a);
}

#include "isa/instantiate.h"
#include "ops/optimizer/kernels.inc"

}  // namespace fnn::cuda
