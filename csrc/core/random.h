// The default random generator: a seed and how far it has been used.
#pragma once

#include <cstdint>

#include "core/philox.h"

namespace fnn {

void manual_seed(uint64_t seed);
uint64_t initial_seed();
PhiloxKey random_state();
void set_random_state(PhiloxKey state);
// Reserves the blocks that n random words take (four words a block).
PhiloxKey reserve_random(int64_t n);

}  // namespace fnn
