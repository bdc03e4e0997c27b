#pragma once

#include "core/inline.h"

namespace fnn {

// What may differ from one run of a recorded step to the next. It stands in a kernel's arguments;
// the kernels of a CUDA graph, whose arguments are fixed, find it in the GPU's memory.
template <class T>
struct Changing {
  T value;
  const T* on_gpu = nullptr;

  FNN_INLINE T get() const { return on_gpu ? *on_gpu : value; }
};

}  // namespace fnn
