// Tensors from and to the arrays of other libraries.
#pragma once

#include "python/casters.h"

namespace fnn {

// Zero-copy; raises a TypeError for an element type that fastnn does not have, and a
// ValueError for memory that no kernel can read in place (byte-swapped, misaligned).
Tensor from_numpy(const char* op, const py::array& array);
// As from_numpy where that is possible, else from a copy.
Tensor from_numpy_or_copy(const char* op, const py::array& array);
// A copy of a contiguous array in which Python has put numbers once and for all.
Tensor constant(const char* op, const py::array& array);
// Shares memory with the tensor.
py::array to_numpy(const Tensor& x);

// Shares the memory of an object with __cuda_array_interface__.
Tensor from_cuda_array(const py::object& source);

void bind_convert(Module& m);
void bind_factories(Module& m);
void bind_cuda(Module& m);
void bind_exchange(Module& m);
void bind_plan(Module& m);
void bind_tensor(Module& m);

}  // namespace fnn
