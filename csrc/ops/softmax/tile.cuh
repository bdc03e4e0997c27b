// One row of a softmax, by a team of threads: its maximum and the sum of exp(x - max).
#pragma once

#include <limits>

#include "cuda/team.cuh"

namespace fnn::cuda {

template <class T>
struct SoftmaxRow {
  T max, sum;
};

template <class T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();

// A row in registers is gone through twice. One in memory once: whenever a larger number is met
// the sum so far is scaled down. Milakov and Gimelshein, "Online normalizer calculation for
// softmax", 2018.
template <class T, int Lanes, int Packs>
__device__ SoftmaxRow<T> softmax_row(const Team<Lanes>& team, const Row<T, Lanes, Packs>& row) {
  constexpr int N = Vec<T>::N;
  T top = -kInfinity<T>, total = 0;
  if constexpr (row.kept) {
    row.each([&](auto at, const Vec<T>& x) {
      for (int j = 0; j < N; ++j)
        if (j < at.count()) top = larger(x.v[j], top);
    });
    top = team.largest(top);
    row.each([&](auto at, const Vec<T>& x) {
      for (int j = 0; j < N; ++j)
        if (j < at.count()) total += exp(x.v[j] - top);
    });
    return {top, team.sum(total)};
  } else {
    // Before anything finite is met -inf is subtracted from nothing, as it would give NaN.
    const auto shift = [](T top) { return top == -kInfinity<T> ? T(0) : top; };
    row.each([&](auto at, const Vec<T>& x) {
      T best = top;
      for (int j = 0; j < N; ++j)
        if (j < at.count()) best = larger(x.v[j], best);
      total *= exp(top - shift(best));
      top = best;
      for (int j = 0; j < N; ++j)
        if (j < at.count()) total += exp(x.v[j] - shift(top));
    });
    const T all = team.largest(top);
    return {all, team.sum(total * exp(top - shift(all)))};
  }
}

}  // namespace fnn::cuda
