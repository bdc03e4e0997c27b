// A few words to test the emulation with: that correct kernels compute what they should in every
// order of their threads, and that incorrect ones are caught.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "cuda/kernel.cuh"

namespace selftest {

struct Case {
  Case(const char* name, void (*body)());
};
#define FNN_TEST(name)                                   \
  static void name();                                    \
  static const selftest::Case case_##name{#name, &name}; \
  static void name()

#define FNN_EXPECT(condition) selftest::expect(condition, #condition, __FILE__, __LINE__)
void expect(bool condition, const char* text, const char* file, int line);

// That `body` ends the process, with one of these words on stderr.
void expect_end(const std::function<void()>& body, const std::string& words,
                const std::string& or_these = "AddressSanitizer");

// Sets an environment variable until the end of the scope.
class With {
 public:
  With(const char* name, const std::string& value);
  ~With();

 private:
  const char* name_;
  std::string before_;
};

constexpr const char* kOrders[] = {"forward", "reverse", "1", "2", "3", "4"};
template <class F>
void in_every_order(const F& f) {
  for (const char* order : kOrders) {
    const With with("FASTNN_CUDA_ORDER", order);
    f();
  }
}

// Memory of the device.
template <class T>
class Array {
 public:
  explicit Array(size_t n) : n_(n) { fnn::cuda::check(cudaMalloc(&data_, n * sizeof(T)), "taking memory"); }
  explicit Array(const std::vector<T>& x) : Array(x.size()) {
    fnn::cuda::check(cudaMemcpy(data_, x.data(), n_ * sizeof(T), cudaMemcpyHostToDevice), "copying");
  }
  ~Array() { cudaFree(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> x(n_);
    fnn::cuda::check(cudaMemcpy(x.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost), "copying");
    return x;
  }

 private:
  T* data_ = nullptr;
  size_t n_;
};

extern fnn::Stream stream;

}  // namespace selftest
