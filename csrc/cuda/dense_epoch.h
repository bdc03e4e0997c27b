// One kernel that trains a small network step after step: what it is given.
#pragma once

#include <cstdint>

#include "ops/cross_entropy/args.h"
#include "ops/linear/args.h"

namespace fnn {

// A parameter and the optimizer's state tensors, all laid out alike; the first null one ends them.
struct DenseParameter {
  float* p;  // null for no bias
  float* state[3];
  bool transposed;  // the columns of a weight lie one after another, not its rows
};

// h = act(x w1^T + b1), and the loss is a cross-entropy of h w2^T + b2. A step s takes `batch` rows
// of the data set, moves the parameters on by rules[s], and tells its loss and right answers. All
// pointers are to memory of one GPU.
struct DenseEpochArgs {
  int64_t in, hidden, classes, batch;
  int steps;
  UnaryOp activation;     // fusible()
  const float* x;         // (rows, in), the data set
  const int64_t* target;  // (rows)
  const int64_t* order;   // (steps, batch): which rows; null for all as they lie
  DenseParameter w1, b1;  // (hidden, in), (hidden)
  DenseParameter w2, b2;  // (classes, hidden), (classes)
  FusedRule kind;         // not none
  const void* rules;      // (steps) SgdRule<float> or AdamRule<float>
  const float* weight;    // (classes) or null, of the cross-entropy; so below
  int64_t ignore_index;
  float smoothing;
  Reduction reduction;  // mean or sum
  float* losses;        // (steps)
  int64_t* correct;     // (steps)
};

}  // namespace fnn
