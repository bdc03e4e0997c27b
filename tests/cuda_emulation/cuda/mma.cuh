// In place of csrc/cuda/mma.cuh, which says what the fragments hold: the lanes of a warp meet,
// and one of them computes for all.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace fnn::cuda {

inline uint32_t to_tf32(float x) {
  const uint32_t bits = __float_as_uint(x);
  return std::isnan(x) ? 0x7fffffff : std::isinf(x) ? bits : (bits + 0x1000) & 0xffffe000;
}

inline uint32_t bf16_bits(float x) {
  const uint32_t bits = __float_as_uint(x);
  return (x != x ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline uint32_t pack_bf16(float first, float second) { return bf16_bits(first) | bf16_bits(second) << 16; }

}  // namespace fnn::cuda

namespace emulation {

constexpr unsigned kAll = 0xffffffff;

struct Fragments {
  float* d;
  const uint32_t *a, *b;
};

// The lane's numbers, by row and column of the whole matrices: `Each` numbers in a register.
template <int K, int Each>
void multiply(void** lane, unsigned) {
  float a[16][K], b[K][8];
  for (int l = 0; l < kWarp; ++l) {
    const auto& f = *static_cast<Fragments*>(lane[l]);
    const int g = l / 4, t = l % 4;
    for (int j = 0; j < Each; ++j) {
      const auto value = [j](uint32_t x) {
        return __uint_as_float(Each == 1 ? x & 0xffffe000 : j == 0 ? x << 16 : x & 0xffff0000);
      };
      for (int i = 0; i < 4; ++i) a[g + 8 * (i % 2)][Each * t + j + K / 2 * (i / 2)] = value(f.a[i]);
      for (int i = 0; i < 2; ++i) b[Each * t + j + K / 2 * i][g] = value(f.b[i]);
    }
  }
  for (int l = 0; l < kWarp; ++l) {
    float* const d = static_cast<Fragments*>(lane[l])->d;
    for (int i = 0; i < 4; ++i) {
      const int row = l / 4 + 8 * (i / 2), column = 2 * (l % 4) + i % 2;
      for (int k = 0; k < K; ++k) d[i] = std::fma(a[row][k], b[k][column], d[i]);
    }
  }
}

struct Matrices {
  uint32_t* r;
  const void* row;
};

template <int Count, bool Transposed>
void load(void** lane, unsigned) {
  for (int m = 0; m < Count; ++m) {
    uint16_t x[8][8];
    for (int i = 0; i < 8; ++i) {
      const void* const row = static_cast<Matrices*>(lane[8 * m + i])->row;
      if (reinterpret_cast<uintptr_t>(row) % 16) mistake("load_matrices at an address that is no multiple of 16");
      std::memcpy(x[i], row, sizeof x[i]);
    }
    for (int l = 0; l < kWarp; ++l) {
      const int g = l / 4, t = 2 * (l % 4);
      const uint32_t low = Transposed ? x[t][g] : x[g][t], high = Transposed ? x[t + 1][g] : x[g][t + 1];
      static_cast<Matrices*>(lane[l])->r[m] = low | high << 16;
    }
  }
}

}  // namespace emulation

namespace fnn::cuda {

inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::Fragments mine{d, a, b};
  emulation::meet_lanes(emulation::kAll, &mine, &emulation::multiply<8, 1>);
}

inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::Fragments mine{d, a, b};
  emulation::meet_lanes(emulation::kAll, &mine, &emulation::multiply<16, 2>);
}

template <int Matrices, bool Transposed = false>
void load_matrices(uint32_t (&r)[Matrices], const void* row) {
  emulation::Matrices mine{r, row};
  emulation::meet_lanes(emulation::kAll, &mine, &emulation::load<Matrices, Transposed>);
}

}  // namespace fnn::cuda
