#include "plan/recorder.h"

#include <algorithm>
#include "plan/launch.h"

namespace fnn {
namespace {

// A copy of all the memory that x reaches over, which x's own strides fit.
Tensor spanned_copy(const Tensor& x) {
  const auto [elements, before] = reach(*x);
  const DeviceGuard guard(x->device());
  Tensor y = empty({elements}, x->dtype);
  copy_between_devices(*y, *alias(x, {elements}, {1}, x->offset - before));
  return alias(y, x->shape, x->strides, before);
}

}  // namespace

Reach reach(const TensorImpl& x) {
  if (x.numel() == 0) return {0, 0};
  int64_t first = 0, last = 0;  // relative to x's first
  for (int i = 0; i < x.ndim(); ++i) (x.strides[i] < 0 ? first : last) += (x.shape[i] - 1) * x.strides[i];
  return {last - first + 1, -first};
}

Recorder::Recorder(const std::vector<Tensor>& arguments) : arguments_(arguments) {
  check<RuntimeError>(observer == nullptr, "compile", "a step cannot be recorded inside another");
  if (!arguments.empty()) device_ = arguments[0]->device();  // of a step without a kernel
  for (const Tensor& x : arguments) {
    check(x->device() == arguments[0]->device(), "compile", "expected all arguments on one device; got some on ",
          name(arguments[0]->device()), " and some on ", name(x->device()));
    inputs_.push_back(spanned_copy(x));
  }
  observer = this;
}

Recorder::~Recorder() { observer = nullptr; }

void Recorder::refuse(const char* what) {
  fail<RuntimeError>("compile", what,
                     " is not known when a recorded step runs again. Take it out of the step: pass it in as an "
                     "argument, or return the tensor and look at it afterwards");
}

// Becomes a constant, and a kernel that copies it to where it is used.
void Recorder::filled(const TensorImpl& x) {
  const int64_t bytes = x.numel() * static_cast<int64_t>(itemsize(x.dtype));
  if (bytes == 0) return;
  const DeviceGuard guard(x.device());
  const auto constant = new_storage(static_cast<size_t>(bytes));
  TensorImpl held = x;
  held.storage = constant;
  held.offset = 0;
  copy_between_devices(held, x);
  CopyArgs<u8> copy{};
  copy.shape.ndim = 1;
  copy.shape.size[0] = bytes;
  copy.shape.stride[0][0] = copy.shape.stride[1][0] = 1;
  copy.y = x.data<u8>();
  copy.x = static_cast<u8*>(constant->data.get());
  add({&kernel_info<kernel::strided_copy, CopyArgs, u8>, Op::keep(copy), {}});
}

void Recorder::add(Op op) {
  const Device device = active_stream().device;
  if (ops_.empty()) device_ = device;
  check<RuntimeError>(device == device_, "compile", "a step runs on one device; this one runs on ", name(device_),
                      " and then on ", name(device));
  ops_.push_back(std::move(op));
}

void Recorder::grad(const Tensor& leaf, bool cleared) {
  if (!leaf->is_leaf()) return;
  const auto [at, first] = leaves_.try_emplace(leaf.get());
  if (first) at->second = {leaf, leaf->grad ? leaf->grad->storage : nullptr, cleared};
}

}  // namespace fnn
