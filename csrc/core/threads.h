// Size of the thread pool, and why.
#pragma once

#include <string>

namespace fnn {

int num_threads();
void set_num_threads(int n);
// One line: the limits found (affinity, cgroup quota, variables) and which one bound.
std::string num_threads_reason();

}  // namespace fnn
