// A Python number beside tensors: it takes part without deciding their precision.
#pragma once

#include <cstdint>
#include <variant>

#include "core/tensor.h"

namespace fnn {

struct Scalar {
  double value = 0;
  int64_t integer = 0;
  bool is_float = false;
};

using Operand = std::variant<Tensor, Scalar>;

}  // namespace fnn
