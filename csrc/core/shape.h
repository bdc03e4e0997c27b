// Sizes or strides of up to kMaxDims dimensions, without a heap allocation.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <ostream>

#include "core/error.h"

namespace fnn {

constexpr int kMaxDims = 8;

class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<int64_t> values) {
    for (int64_t v : values) push_back(v);
  }
  static Dims filled(int n, int64_t value) {
    Dims d;
    for (int i = 0; i < n; ++i) d.push_back(value);
    return d;
  }

  int size() const { return n_; }
  bool empty() const { return n_ == 0; }
  int64_t& operator[](int i) { return d_[i]; }
  int64_t operator[](int i) const { return d_[i]; }
  const int64_t* begin() const { return d_; }
  const int64_t* end() const { return d_ + n_; }
  int64_t back() const { return d_[n_ - 1]; }
  void push_back(int64_t v) {
    check(n_ < kMaxDims, "shape", "at most ", kMaxDims, " dimensions are supported");
    d_[n_++] = v;
  }
  void erase(int at) {
    for (int i = at + 1; i < n_; ++i) d_[i - 1] = d_[i];
    --n_;
  }
  void insert(int at, int64_t v) {
    push_back(v);
    for (int i = n_ - 1; i > at; --i) d_[i] = d_[i - 1];
    d_[at] = v;
  }
  bool operator==(const Dims& o) const {
    if (n_ != o.n_) return false;
    for (int i = 0; i < n_; ++i)
      if (d_[i] != o.d_[i]) return false;
    return true;
  }

 private:
  int64_t d_[kMaxDims] = {};
  int n_ = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Dims& d) {
  out << '(';
  for (int i = 0; i < d.size(); ++i) out << (i ? ", " : "") << d[i];
  return out << (d.size() == 1 ? ",)" : ")");
}

// Number of elements; raises when a size is negative or the bytes overflow.
int64_t checked_numel(const char* op, const Dims& shape, size_t item);
int64_t numel(const Dims& shape);
Dims contiguous_strides(const Dims& shape);
Dims channels_last_strides(const Dims& nchw);
Dims broadcast_shapes(const char* op, const Dims& a, const Dims& b);
// A dimension counted from the end when negative.
int normalize_dim(const char* op, int64_t dim, int ndim);

}  // namespace fnn
