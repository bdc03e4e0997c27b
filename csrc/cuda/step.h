// What stands before and behind the kernels of a step in a CUDA graph, whose arguments are fixed:
// it brings what the step is to work on to where they look for it, and takes away what comes out.
#pragma once

#include <cstdint>

namespace fnn {

constexpr int kStepArrays = 8;  // arguments of a step, and results

// In the GPU's memory, written before graphs are launched: the steps that they are to do.
struct StepState {
  int64_t step;                   // the next; a graph moves it on
  const char* data[kStepArrays];  // the arguments' rows, of all steps one behind the other,
  const int64_t* order;           // or in this order, unless it is null
  const char* values;             // (steps, value_bytes): what else changes
  char* results[kStepArrays];     // where the last step's go, or null
  char* losses;                   // (steps), or null
  int64_t* correct;               // (steps), or null
};

// Where a step leaves its loss, 4 or 8 bytes, and its right answers; null where it has none.
struct StepOutcome {
  const char* loss;
  int loss_bytes;
  const int64_t* correct;
};

struct StepBegin {
  StepState* state;
  int number;  // of the step in its graph
  int arrays;
  char* to[kStepArrays];  // (rows, row_bytes)
  int64_t rows[kStepArrays], row_bytes[kStepArrays];
  char* values;         // (value_bytes)
  int64_t value_bytes;  // a multiple of 4
  StepOutcome before;   // of the step before in the graph
};

struct StepEnd {
  StepState* state;
  int steps;  // of the graph
  int arrays;
  const char* from[kStepArrays];  // (bytes)
  int64_t bytes[kStepArrays];
  StepOutcome last;
};

}  // namespace fnn
