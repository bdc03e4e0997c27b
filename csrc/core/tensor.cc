#include "core/tensor.h"

#include <cstring>

#include "core/allocator.h"

namespace fnn {

thread_local Observer* observer = nullptr;

bool is_contiguous(const TensorImpl& t) {
  int64_t expected = 1;
  for (int i = t.ndim() - 1; i >= 0; --i) {
    if (t.shape[i] == 0) return true;
    if (t.shape[i] != 1 && t.strides[i] != expected) return false;
    expected *= t.shape[i];
  }
  return true;
}

bool is_channels_last(const TensorImpl& t) {
  if (t.ndim() != 4) return false;
  const Dims expected = channels_last_strides(t.shape);
  for (int i = 0; i < 4; ++i)
    if (t.shape[i] != 1 && t.strides[i] != expected[i]) return false;
  return true;
}

bool is_dense(const TensorImpl& t) {
  if (is_contiguous(t) || is_channels_last(t)) return true;
  // From stride 1 on, some dimension must continue where the ones before it end.
  bool used[kMaxDims] = {};
  int64_t expected = 1;
  for (;;) {
    int next = -1, left = 0;
    for (int i = 0; i < t.ndim(); ++i) {
      if (used[i] || t.shape[i] == 1) continue;
      ++left;
      if (t.strides[i] == expected) next = i;
    }
    if (left == 0) return true;
    if (next < 0) return false;
    used[next] = true;
    expected *= t.shape[next];
  }
}

bool overlaps(const TensorImpl& a, const TensorImpl& b) {
  const auto range = [](const TensorImpl& t) {
    const char* first = static_cast<const char*>(t.raw());
    const char* last = first;
    for (int i = 0; i < t.ndim(); ++i) {
      const int64_t reach = (t.shape[i] - 1) * t.strides[i] * static_cast<int64_t>(itemsize(t.dtype));
      (reach < 0 ? first : last) += reach;
    }
    return std::make_pair(first, last + itemsize(t.dtype));
  };
  if (a.numel() == 0 || b.numel() == 0) return false;
  const auto [a0, a1] = range(a);
  const auto [b0, b1] = range(b);
  const bool same = a.raw() == b.raw() && a.shape == b.shape && a.strides == b.strides && a.dtype == b.dtype;
  return a0 < b1 && b0 < a1 && !same;
}

std::shared_ptr<Storage> new_storage(size_t bytes) {
  auto storage = std::make_shared<Storage>();
  storage->data = gpu_stream ? allocate_on(*gpu_stream, bytes) : allocate(bytes);
  storage->bytes = bytes;
  storage->gpu = gpu_stream;
  return storage;
}

namespace {

size_t bytes_of(const TensorImpl& x) { return static_cast<size_t>(x.numel()) * itemsize(x.dtype); }

}  // namespace

void read(const TensorImpl& x, void* to) {
  if (x.numel() == 0) return;
  if (!x.storage->gpu) {
    std::memcpy(to, x.raw(), bytes_of(x));
    return;
  }
  const DeviceGuard guard(x.device());
  download(to, x.raw(), bytes_of(x));
}

void write(const TensorImpl& x, const void* from) {
  if (x.numel() == 0) return;
  if (!x.storage->gpu) {
    std::memcpy(x.raw(), from, bytes_of(x));
    return;
  }
  const DeviceGuard guard(x.device());
  upload(x.raw(), from, bytes_of(x));
}

void copy_between_devices(const TensorImpl& y, const TensorImpl& x) {
  if (!y.storage->gpu) return read(x, y.raw());
  if (!x.storage->gpu) return write(y, x.raw());
  if (x.numel() == 0) return;
  const DeviceGuard guard(x.device());
  copy_between_gpus(y.raw(), y.device(), x.raw(), x.device(), bytes_of(x));
}

Tensor empty_strided(const Dims& shape, const Dims& strides, DType dtype) {
  const size_t bytes = static_cast<size_t>(checked_numel("empty", shape, itemsize(dtype))) * itemsize(dtype);
  auto t = std::make_shared<TensorImpl>();
  auto storage = new_storage(bytes);
  if (observer) observer->made(storage);
  t->storage = std::move(storage);
  t->shape = shape;
  t->strides = strides;
  t->dtype = dtype;
  return t;
}

Tensor empty(const Dims& shape, DType dtype) { return empty_strided(shape, contiguous_strides(shape), dtype); }

Tensor empty_channels_last(const Dims& nchw, DType dtype) {
  return empty_strided(nchw, channels_last_strides(nchw), dtype);
}

Tensor empty_like(const Tensor& x, DType dtype) {
  return is_dense(*x) ? empty_strided(x->shape, x->strides, dtype) : empty(x->shape, dtype);
}

Tensor alias(const Tensor& x) { return alias(x, x->shape, x->strides, x->offset); }

Tensor alias(const Tensor& x, const Dims& shape, const Dims& strides, int64_t offset) {
  auto t = std::make_shared<TensorImpl>();
  t->storage = x->storage;
  t->offset = offset;
  t->shape = shape;
  t->strides = strides;
  t->dtype = x->dtype;
  return t;
}

}  // namespace fnn
