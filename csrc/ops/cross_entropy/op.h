#pragma once

#include <string>

#include "core/error.h"
#include "ops/cross_entropy/args.h"

namespace fnn {

inline Reduction parse_reduction(const char* op, const std::string& name) {
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  check(name == "none", op, "reduction must be 'mean', 'sum' or 'none'; got '", name, "'");
  return Reduction::none;
}

}  // namespace fnn
