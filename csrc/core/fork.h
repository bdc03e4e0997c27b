// What a fork must not catch in the middle of something.
#pragma once

#include <pthread.h>

#include <mutex>

namespace fnn {

// Holds the mutex while the process forks, so that the child finds it free.
template <std::mutex& (*mutex)()>
void hold_over_fork() {
  static const int registered =
      pthread_atfork([] { mutex().lock(); }, [] { mutex().unlock(); }, [] { mutex().unlock(); });
  (void)registered;
}

}  // namespace fnn
