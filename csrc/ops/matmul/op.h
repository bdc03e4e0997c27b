#pragma once

#include "core/tensor.h"

namespace fnn {

// A view with the two dimensions swapped, without the tape.
Tensor swapped(const Tensor& x);

}  // namespace fnn
