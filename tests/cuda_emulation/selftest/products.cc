// Tensor cores: the emulated functions, and the ones that csrc/cuda/mma.cuh has for GPUs without,
// against plain products.
#include <cmath>
#include <cstdint>

size_t __cvta_generic_to_shared(const void*);  // of CUDA; only named in what is not compiled here
#define cuda with_shuffles
#include "../../../csrc/cuda/mma.cuh"
#undef cuda
#include "cuda/mma.cuh"
#include "selftest.h"

using namespace fnn::cuda;
using namespace selftest;

namespace {

float narrowed(float x, int bits) {  // to so many bits of mantissa, to nearest
  int exponent;
  const float fraction = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, bits + 1)), exponent - bits - 1);
}

std::vector<float> some(size_t n, unsigned seed) {
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>((seed = seed * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1.f;
  return x;
}

// D (16, 8) = A (16, K) B (K, 8), by one warp, lane by lane as the manual draws the fragments.
template <bool emulated>
__global__ void tf32_kernel(const float* a, const float* b, float* d) {
  const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
  const uint32_t af[4] = {to_tf32(a[8 * g + t]), to_tf32(a[8 * (g + 8) + t]), to_tf32(a[8 * g + t + 4]),
                          to_tf32(a[8 * (g + 8) + t + 4])};
  const uint32_t bf[2] = {to_tf32(b[8 * t + g]), to_tf32(b[8 * (t + 4) + g])};
  float df[4] = {};
  if (emulated)
    fnn::cuda::mma_tf32(df, af, bf);
  else
    fnn::with_shuffles::mma_tf32(df, af, bf);
  d[8 * g + 2 * t] = df[0];
  d[8 * g + 2 * t + 1] = df[1];
  d[8 * (g + 8) + 2 * t] = df[2];
  d[8 * (g + 8) + 2 * t + 1] = df[3];
}

template <bool emulated>
__global__ void bf16_kernel(const float* a, const float* b, float* d) {
  const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
  const auto pair_a = [&](unsigned row, unsigned k) { return pack_bf16(a[16 * row + k], a[16 * row + k + 1]); };
  const auto pair_b = [&](unsigned k) { return pack_bf16(b[8 * k + g], b[8 * (k + 1) + g]); };
  const uint32_t af[4] = {pair_a(g, 2 * t), pair_a(g + 8, 2 * t), pair_a(g, 2 * t + 8), pair_a(g + 8, 2 * t + 8)};
  const uint32_t bf[2] = {pair_b(2 * t), pair_b(2 * t + 8)};
  float df[4] = {};
  if (emulated)
    fnn::cuda::mma_bf16(df, af, bf);
  else
    fnn::with_shuffles::mma_bf16(df, af, bf);
  for (unsigned i = 0; i < 4; ++i) d[8 * (g + 8 * (i / 2)) + 2 * t + i % 2] = df[i];
}

void expect_product(void (*kernel)(const float*, const float*, float*), size_t depth, int bits) {
  const std::vector<float> a = some(16 * depth, 1), b = some(depth * 8, 2);
  const Array<float> on_a(a), on_b(b), on_d(16 * 8);
  start(stream, kernel, 1, 32, 0, on_a.data(), on_b.data(), on_d.data());
  const std::vector<float> d = on_d.read();
  for (size_t i = 0; i < 16; ++i)
    for (size_t j = 0; j < 8; ++j) {
      double sum = 0, size = 0;
      for (size_t k = 0; k < depth; ++k) {
        const double product = double{narrowed(a[i * depth + k], bits)} * narrowed(b[k * 8 + j], bits);
        sum += product;
        size += std::abs(product);
      }
      FNN_EXPECT(std::abs(d[8 * i + j] - sum) <= static_cast<double>(depth) * 0x1p-24 * size);
    }
}

FNN_TEST(products_of_tensor_cores) {
  in_every_order([] {
    expect_product(&tf32_kernel<true>, 8, 10);
    expect_product(&tf32_kernel<false>, 8, 10);
    expect_product(&bf16_kernel<true>, 16, 7);
    expect_product(&bf16_kernel<false>, 16, 7);
  });
}

FNN_TEST(roundings) {
  for (const float x : some(1000, 3)) {
    FNN_EXPECT(__uint_as_float(to_tf32(x)) == narrowed(x, 10));
    FNN_EXPECT(__uint_as_float(pack_bf16(0, x)) == narrowed(x, 7));
    FNN_EXPECT(pack_bf16(x, 0) == fnn::with_shuffles::pack_bf16(x, 0) && to_tf32(x) == fnn::with_shuffles::to_tf32(x));
  }
  FNN_EXPECT(std::isnan(__uint_as_float(to_tf32(NAN))) && std::isnan(__uint_as_float(pack_bf16(0, NAN))));
  FNN_EXPECT(__uint_as_float(to_tf32(INFINITY)) == INFINITY && __uint_as_float(pack_bf16(0, INFINITY)) == INFINITY);
}

template <int Matrices, bool Transposed>
__global__ void load_kernel(uint32_t* y) {
  auto* shared = shared_memory<uint16_t>();  // 8 Matrices rows of 8
  for (unsigned i = threadIdx.x; i < 64 * Matrices; i += 32) shared[i] = static_cast<uint16_t>(i);
  __syncwarp();
  uint32_t r[Matrices];
  load_matrices<Matrices, Transposed>(r, shared + 8 * (threadIdx.x % (8 * Matrices)));
  for (int m = 0; m < Matrices; ++m) y[Matrices * threadIdx.x + m] = r[m];
}
template <int Matrices, bool Transposed>
void expect_loaded() {
  const Array<uint32_t> y(32 * Matrices);
  start(stream, &load_kernel<Matrices, Transposed>, 1, 32, 128 * Matrices, y.data());
  const std::vector<uint32_t> found = y.read();
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t m = 0; m < Matrices; ++m)
      for (uint32_t j = 0; j < 2; ++j) {
        const uint32_t g = lane / 4, at = 2 * (lane % 4) + j, row = Transposed ? at : g, column = Transposed ? g : at;
        FNN_EXPECT((found[Matrices * lane + m] >> 16 * j & 0xffff) == 64 * m + 8 * row + column);
      }
}
FNN_TEST(matrices_are_loaded) {
  in_every_order([] {
    expect_loaded<1, false>();
    expect_loaded<2, true>();
    expect_loaded<4, false>();
    expect_loaded<4, true>();
  });
}

}  // namespace
