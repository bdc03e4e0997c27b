// The tensor: a typed, strided view of shared storage, and its place on the tape.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/observer.h"
#include "core/shape.h"

namespace fnn {

struct Node;  // autograd/tape.h

struct Storage {
  std::shared_ptr<void> data;  // 64-byte aligned when fastnn allocated it
  size_t bytes = 0;
  Stream* gpu = nullptr;  // whose work it was allocated for; null for memory of the CPU
  uint32_t version = 0;   // counts in-place writes, so that backward can refuse stale values
  bool writable = true;
  bool shared = false;  // with others, who may write to it unseen

  Device device() const { return gpu ? gpu->device : Device{}; }
};

// Memory of the device that this thread works on.
std::shared_ptr<Storage> new_storage(size_t bytes);

struct TensorImpl;
using Tensor = std::shared_ptr<TensorImpl>;

struct TensorImpl {
  std::shared_ptr<Storage> storage;
  int64_t offset = 0;  // elements from the start of the storage
  Dims shape;
  Dims strides;  // elements
  DType dtype = DType::f32;

  bool requires_grad = false;
  Tensor grad;
  std::shared_ptr<Node> grad_fn;  // who made it; for a leaf, who accumulates its gradient

  int ndim() const { return shape.size(); }
  int64_t numel() const { return fnn::numel(shape); }
  Device device() const { return storage->device(); }
  bool is_leaf() const;

  void* raw() const {
    if (observer) observer->used(storage);
    if (gpu_stream && storage->gpu != gpu_stream) [[unlikely]]
      used_elsewhere(storage->gpu, storage->data.get());
    return static_cast<char*>(storage->data.get()) + offset * static_cast<int64_t>(itemsize(dtype));
  }
  template <class T>
  T* data() const {
    return static_cast<T*>(raw());
  }
};

// Sizes of one dimension place no constraint on their strides.
bool is_contiguous(const TensorImpl& t);
bool is_channels_last(const TensorImpl& t);
// Contiguous under some order of its dimensions: elementwise kernels run over it flat.
bool is_dense(const TensorImpl& t);

// Whether a write to one may change what is read from the other at another element:
// their memory meets, and they are not the very same elements.
bool overlaps(const TensorImpl& a, const TensorImpl& b);

Tensor empty(const Dims& shape, DType dtype);
Tensor empty_strided(const Dims& shape, const Dims& strides, DType dtype);
Tensor empty_channels_last(const Dims& nchw, DType dtype);
// Same shape and, when x is dense, the same strides.
Tensor empty_like(const Tensor& x, DType dtype);
inline Tensor empty_like(const Tensor& x) { return empty_like(x, x->dtype); }
// The bytes of a dense tensor from and to the CPU's memory. `read` waits for them; what `write`
// is given may change once it returns.
void read(const TensorImpl& x, void* to);
void write(const TensorImpl& x, const void* from);
// y = x, byte for byte, of dense tensors laid out alike, on any devices.
void copy_between_devices(const TensorImpl& y, const TensorImpl& x);
// Shares storage; not on the tape.
Tensor alias(const Tensor& x);
Tensor alias(const Tensor& x, const Dims& shape, const Dims& strides, int64_t offset);

// f.template operator()<T>() for the floating element type of a tensor, else a TypeError.
template <class F>
decltype(auto) visit_floating(const char* op, const char* arg, DType t, F&& f) {
  if (t == DType::f64) return f.template operator()<f64>();
  check<TypeError>(t == DType::f32, op, arg, " must be float32 or float64; got ", name(t));
  return f.template operator()<f32>();
}

}  // namespace fnn
