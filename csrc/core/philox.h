// Philox4x32-10, a counter-based generator: the i-th block of four random words is
// a function of (seed, i) alone, so any thread can make any part of a sequence.
// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstdint>

namespace fnn {

struct PhiloxKey {
  uint64_t seed;
  uint64_t offset;  // index of the first block this call may use
};

}  // namespace fnn
