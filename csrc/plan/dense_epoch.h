// Steps that one kernel can repeat on a GPU (cuda/dense_epoch.h).
#pragma once

#include <optional>
#include <vector>

#include "cuda/dense_epoch.h"
#include "plan/op.h"

namespace fnn {

// A step that trains two dense layers, as the ops of a plan describe it.
struct DenseStep {
  DenseEpochArgs args;    // but for data, order, steps, rules and results
  const float* x;         // (batch, in), what the step is called with
  const int64_t* target;  // (batch)
  const float* loss;      // (1), what comes out
  const Op* options;      // reads those of the optimizer

  size_t rule_bytes() const;
  // The rule of the next step, for the table at args.rules. The step is counted as done.
  void next_rule(char* to) const;
};

// The step of these fused ops, or why it is none of that kind. The ops must outlive it.
std::optional<DenseStep> find_dense_step(const std::vector<Op>& ops, const char*& why_not);

}  // namespace fnn
