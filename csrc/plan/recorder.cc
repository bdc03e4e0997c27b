#include "plan/recorder.h"

#include <algorithm>
#include <cstring>

#include "core/allocator.h"
#include "plan/launch.h"

namespace fnn {
namespace {

// A copy of all the memory that x reaches over, which x's own strides fit.
Tensor spanned_copy(const Tensor& x) {
  int64_t first = 0, last = 0;  // elements, relative to x's first
  for (int i = 0; i < x->ndim(); ++i) {
    const int64_t reach = (x->shape[i] - 1) * x->strides[i];
    (reach < 0 ? first : last) += reach;
  }
  const auto item = static_cast<int64_t>(itemsize(x->dtype));
  const int64_t elements = x->numel() == 0 ? 0 : last - first + 1;
  Tensor y = empty({elements}, x->dtype);
  if (elements > 0)
    std::memcpy(y->raw(), static_cast<char*>(x->raw()) + first * item, static_cast<size_t>(elements * item));
  return alias(y, x->shape, x->strides, elements > 0 ? -first : 0);
}

}  // namespace

Recorder::Recorder(const std::vector<Tensor>& arguments) : arguments_(arguments) {
  check<RuntimeError>(observer == nullptr, "compile", "a step cannot be recorded inside another");
  for (const Tensor& x : arguments) inputs_.push_back(spanned_copy(x));
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
  const auto constant = std::make_shared<Storage>();
  constant->data = allocate(static_cast<size_t>(bytes));
  constant->bytes = static_cast<size_t>(bytes);
  std::memcpy(constant->data.get(), x.raw(), constant->bytes);
  used(constant);
  CopyArgs<u8> copy{};
  copy.shape.ndim = 1;
  copy.shape.size[0] = bytes;
  copy.shape.stride[0][0] = copy.shape.stride[1][0] = 1;
  copy.y = x.data<u8>();
  copy.x = static_cast<u8*>(constant->data.get());
  add({&kernel_info<kernel::strided_copy, CopyArgs, u8>, Op::keep(copy), {}});
}

void Recorder::grad(const Tensor& leaf, bool cleared) {
  if (!leaf->is_leaf()) return;
  const auto [at, first] = leaves_.try_emplace(leaf.get());
  if (first) at->second = {leaf, leaf->grad ? leaf->grad->storage : nullptr, cleared};
}

}  // namespace fnn
