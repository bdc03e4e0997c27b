// The helpers of csrc/cuda that every kernel rests on.
#include <cmath>
#include <cstdint>

#include "cuda/strided.cuh"
#include "selftest.h"

using namespace fnn::cuda;
using namespace selftest;

namespace {

__global__ void divide_kernel(Divisor d, const uint32_t* x, int64_t n, uint32_t* y) {
  for (int64_t i = first_task(); i < n; i += task_stride()) y[i] = d.quotient(x[i]);
}
FNN_TEST(divisors_divide) {
  std::vector<uint32_t> numbers = {0, 1, 2, (1u << 31) - 1, (1u << 31) - 2, 1u << 30};
  for (uint32_t x = 3; numbers.size() < 400; x = x * 1664525 + 1013904223) numbers.push_back(x >> (1 + x % 31));
  std::vector<uint32_t> divisors = {1, 2, 3, 5, 7, 1000, 65535, 65536, 65537, 1u << 30, (1u << 31) - 1};
  for (size_t i = 6; i < 200; ++i) divisors.push_back(numbers[i] + 1);
  for (const uint32_t d : divisors) {
    std::vector<uint32_t> some = numbers;
    for (const uint64_t times : {1ull, 2ull, 77ull, 30000ull})  // around multiples
      for (const uint64_t x : {times * d - 1, times * d, times * d + 1})
        if (x < 1ull << 31) some.push_back(static_cast<uint32_t>(x));
    const Array<uint32_t> x(some), y(some.size());
    start(stream, &divide_kernel, 1, 256, 0, Divisor(d), x.data(), static_cast<int64_t>(some.size()), y.data());
    const std::vector<uint32_t> found = y.read();
    for (size_t i = 0; i < some.size(); ++i) FNN_EXPECT(found[i] == some[i] / d);
  }
}

FNN_TEST(packs_of_every_length_and_alignment) {
  for (int64_t n : {0, 1, 3, 4, 5, 255, 1024, 1027})
    for (const int shift : {0, 1, 2, 4}) {
      std::vector<float> numbers(static_cast<size_t>(n + shift));
      for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
      const Array<float> x(numbers);
      const Array<double> y(std::vector<double>(numbers.size(), -1));
      const float* const from = x.data() + shift;
      double* const to = y.data() + shift;
      for_packs<double>(stream, n,
                        [=] __device__(auto at) { at.store(to, each(at.load(from), [](float v) { return 2. * v; })); });
      const std::vector<double> found = y.read();
      for (size_t i = 0; i < found.size(); ++i)
        FNN_EXPECT(found[i] == (i < static_cast<size_t>(shift) ? -1 : 2 * numbers[i]));
    }
}

FNN_TEST(strides_of_every_kind) {
  fnn::StridedShape<2> shape = {3, {4, 5, 7}, {{35, 7, 1}, {1, 0, -4}}};
  const Array<int64_t> y(140);
  int64_t* const to = y.data();
  for_each_strided(stream, shape, [=] __device__(const int64_t* at) { to[at[0]] = at[1]; });
  const std::vector<int64_t> found = y.read();
  for (int64_t i = 0; i < 140; ++i) FNN_EXPECT(found[static_cast<size_t>(i)] == i / 35 - 4 * (i % 7));
  shape.size[1] = 0;
  for_each_strided(stream, shape, [=] __device__(const int64_t* at) { to[at[0]] = 0; });
  FNN_EXPECT(y.read()[0] == 0 && y.read()[139] == 3 - 24);
}

__global__ void large_kernel(Walk<1> walk, int64_t i, int64_t* y) {
  int64_t at[1];
  walk.offsets(i, at);
  *y = *at;
}
FNN_TEST(offsets_beyond_32_bits) {
  const int64_t wide = int64_t{1} << 33;
  const fnn::StridedShape<1> shape = {2, {wide, 3}, {{3, 1}}};
  const Array<int64_t> y(1);
  start(stream, &large_kernel, 1, 1, 0, Walk<1>(shape), 2 * wide + 1, y.data());
  FNN_EXPECT(y.read()[0] == 2 * wide + 1);
}

}  // namespace
