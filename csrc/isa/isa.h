// Which instruction set the kernels run with: the best that the processor and the
// operating system allow, or the one that FASTNN_ISA names.
#pragma once

#include <string>
#include <vector>

namespace fnn {

struct KernelTable;

struct Isa {
  const char* name;
  bool available;
  const KernelTable* table;
  bool bf16 = false;  // its matrix products can be of numbers in bfloat16
};

// All that were compiled in, slowest first.
const std::vector<Isa>& instruction_sets();
const Isa& chosen_isa();
// Reads FASTNN_ISA; raises a ValueError listing the valid names. Called once, at import.
void choose_isa();

}  // namespace fnn
