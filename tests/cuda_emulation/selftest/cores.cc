// Float32 products of tensor cores, by parts of TF32: as exact as float32, for all numbers.
#include "tile/cores.cuh"

#include <cmath>
#include <cstdint>
#include <limits>

#include "selftest.h"

using namespace fnn;
using namespace fnn::cuda;
using namespace selftest;

namespace {

constexpr int kM = 32, kN = 16, kK = 16;
template <bool AAlongK, bool BAlongK>
using Core = TensorCore<Precision::full, kM, kN, kK, kM, kN, AAlongK, BAlongK, 2, 1>;

// C (kM, kN) = A (kM, kK) B (kK, kN), by one warp.
template <class Core>
__global__ void product_kernel(const float* a, const float* b, float* c) {
  float* const tile_a = shared_memory<float>();
  float* const tile_b = tile_a + Core::TileA::kSize;
  for (int i = threadIdx.x; i < kM * kK; i += 32) tile_a[Core::TileA::at(i / kK, i % kK)] = a[i];
  for (int i = threadIdx.x; i < kK * kN; i += 32) tile_b[Core::TileB::at(i % kN, i / kN)] = b[i];
  __syncthreads();
  Core core;
  core.multiply(tile_a, tile_b);
  core.stage(0, c, kN);
}

template <class Core>
std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b) {
  const Array<float> on_a(a), on_b(b), on_c(kM * kN);
  start(stream, &product_kernel<Core>, 1, Core::kThreads, (Core::TileA::kSize + Core::TileB::kSize) * sizeof(float),
        on_a.data(), on_b.data(), on_c.data());
  return on_c.read();
}

std::vector<float> some(size_t n, unsigned seed) {
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>((seed = seed * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1.f;
  return x;
}

template <class Core>
void expect_product(const std::vector<float>& a, const std::vector<float>& b) {
  const std::vector<float> c = product<Core>(a, b);
  for (int i = 0; i < kM; ++i)
    for (int j = 0; j < kN; ++j) {
      double sum = 0, size = 0;
      float plain = 0;
      for (int k = 0; k < kK; ++k) {
        const float x = a[i * kK + k], y = b[k * kN + j];
        sum += double{x} * y;
        size += std::abs(double{x} * y);
        plain = std::fma(x, y, plain);
      }
      const float found = c[i * kN + j];
      if (std::isfinite(plain))
        FNN_EXPECT(std::abs(found - sum) <=
                   (10 + kK / 16.) * 0x1p-23 * size + 0x1p-126);  // and what subnormal numbers lose
      else
        FNN_EXPECT(std::isnan(plain) ? std::isnan(found) : found == plain);
    }
}

FNN_TEST(products_of_parts) {
  in_every_order([] {
    const std::vector<float> a = some(kM * kK, 1), b = some(kK * kN, 2);
    expect_product<Core<true, true>>(a, b);
    expect_product<Core<true, false>>(a, b);
    expect_product<Core<false, true>>(a, b);
    expect_product<Core<false, false>>(a, b);
  });
}

FNN_TEST(parts_of_the_worst_mantissas) {
  for (uint32_t low = 0; low < 1 << 13; ++low) {
    const float x = 1 + static_cast<float>(low) * 0x1p-23f;
    const Parts of = parts(x);
    FNN_EXPECT(std::abs(x - __uint_as_float(of.big) - __uint_as_float(of.small)) <= 0x1p-23f);
    FNN_EXPECT(std::abs(__uint_as_float(of.small)) <= 0x1p-11f);
  }
  std::vector<float> a(kM * kK), b(kK * kN);
  for (int i = 0; i < kM * kK; ++i) a[i] = 1 + 0x1p-11f + static_cast<float>(i / kK) * 0x1p-23f;
  for (int i = 0; i < kK * kN; ++i) b[i] = 1 + 0x1p-11f - static_cast<float>(i % kN) * 0x1p-23f;
  expect_product<Core<true, true>>(a, b);
}

// Numbers without parts in either factor; products without any keep their bits.
FNN_TEST(products_of_special_numbers) {
  constexpr float inf = std::numeric_limits<float>::infinity(), largest = std::numeric_limits<float>::max();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), least = std::numeric_limits<float>::denorm_min();
  for (const float x : {inf, -inf, nan, largest, -largest, 0x1.000002p60f, 0x1p127f})
    for (const float y : {0.f, 1.f, -1.f, 1 + 0x1p-23f, least, largest, inf, -inf, nan}) {
      std::vector<float> a = some(kM * kK, 1), b = some(kK * kN, 2);
      const std::vector<float> plain = product<Core<true, true>>(a, b);
      for (int k = 0; k < kK; ++k) a[5 * kK + k] = a[31 * kK + k] = b[k * kN + 6] = b[k * kN + 15] = 0;
      a[5 * kK + 3] = x, b[3 * kN + 6] = y;
      a[31 * kK + 9] = y, b[9 * kN + 15] = x;
      expect_product<Core<true, true>>(a, b);
      const std::vector<float> c = product<Core<true, true>>(a, b);
      for (int i = 0; i < kM; ++i)
        for (int j = 0; j < kN; ++j)
          if (i != 5 && i != 31 && j != 6 && j != 15) FNN_EXPECT(c[i * kN + j] == plain[i * kN + j]);
    }
}

}  // namespace
