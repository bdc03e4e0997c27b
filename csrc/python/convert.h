// Tensors from and to NumPy arrays and DLPack capsules.
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

py::capsule to_dlpack(const Tensor& x);
Tensor from_dlpack(const py::object& source);

void bind_convert(py::module_& m);
void bind_factories(py::module_& m);
void bind_plan(py::module_& m);
void bind_tensor(py::module_& m);

}  // namespace fnn
