#include "core/shape.h"

#include <algorithm>

namespace fnn {

int64_t checked_numel(const char* op, const Dims& shape, size_t item) {
  bool empty = false;
  for (int64_t s : shape) {
    check(s >= 0, op, "sizes must not be negative; got ", shape);
    empty |= s == 0;
  }
  if (empty) return 0;
  int64_t n = 1, bytes;
  for (int64_t s : shape) check(!__builtin_mul_overflow(n, s, &n), op, "size overflows: ", shape);
  check(!__builtin_mul_overflow(n, static_cast<int64_t>(item), &bytes), op, "size overflows: ", shape);
  return n;
}

int64_t numel(const Dims& shape) {
  int64_t n = 1;
  for (int64_t s : shape) n *= s;
  return n;
}

Dims contiguous_strides(const Dims& shape) {
  Dims strides = Dims::filled(shape.size(), 1);
  for (int i = shape.size() - 2; i >= 0; --i) strides[i] = strides[i + 1] * std::max<int64_t>(shape[i + 1], 1);
  return strides;
}

Dims channels_last_strides(const Dims& s) {
  const int64_t c = std::max<int64_t>(s[1], 1), h = std::max<int64_t>(s[2], 1), w = std::max<int64_t>(s[3], 1);
  return {h * w * c, 1, w * c, c};
}

Dims broadcast_shapes(const char* op, const Dims& a, const Dims& b) {
  const Dims& longer = a.size() >= b.size() ? a : b;
  Dims out = longer;
  for (int i = 1; i <= out.size(); ++i) {
    const int64_t x = i <= a.size() ? a[a.size() - i] : 1, y = i <= b.size() ? b[b.size() - i] : 1;
    check(x == y || x == 1 || y == 1, op, "shapes ", a, " and ", b, " do not broadcast");
    out[out.size() - i] = x == 1 ? y : x;
  }
  return out;
}

int normalize_dim(const char* op, int64_t dim, int ndim) {
  const int64_t n = std::max(ndim, 1);
  check<IndexError>(dim >= -n && dim < n, op, "dim must be in [", -n, ", ", n - 1, "]; got ", dim);
  return static_cast<int>(dim < 0 ? dim + n : dim);
}

}  // namespace fnn
