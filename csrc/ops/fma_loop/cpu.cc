#include "ops/fma_loop/args.h"

#include "core/stream.h"
#include "simd/vec.h"

namespace fnn::FNN_ISA {

template <class T>
void fma_loop(Stream& s, const FmaLoopArgs<T>& a) {
  // Vectors at once: enough that none waits for its own last result, few enough for registers.
  constexpr int kVecs = 12, N = Vec<T>::N;
  const Vec<T> factor(a.factor), term(a.term);
  parallel_for(s, (a.n + kVecs * N - 1) / (kVecs * N), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const auto left = [&](int j) { return a.n - (block * kVecs + j) * N; };
      const auto count = [&](int j) { return static_cast<int>(left(j) < N ? (left(j) > 0 ? left(j) : 0) : N); };
      Vec<T> y[kVecs];
#pragma GCC unroll 12
      for (int j = 0; j < kVecs; ++j) y[j] = Vec<T>::load(a.x + (block * kVecs + j) * N, count(j));
      for (int64_t r = 0; r < a.rounds; ++r)
#pragma GCC unroll 12
        for (int j = 0; j < kVecs; ++j) y[j] = fma(y[j], factor, term);
#pragma GCC unroll 12
      for (int j = 0; j < kVecs; ++j) y[j].store(a.y + (block * kVecs + j) * N, count(j));
    }
  });
}

#include "isa/instantiate.h"
#include "ops/fma_loop/kernels.inc"

}  // namespace fnn::FNN_ISA
