// In place of csrc/cuda/async.cuh: the block's shared memory, and copies into it that take place
// when they are waited for and not before. Until then what is there is poison.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

namespace fnn::cuda {

template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(emulation::shared_memory());
}

template <int Bytes>
void copy_async(void* shared, const void* global, bool exists = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  if (reinterpret_cast<uintptr_t>(shared) % Bytes || (exists && reinterpret_cast<uintptr_t>(global) % Bytes))
    emulation::mistake("an asynchronous copy at an address that is no multiple of its size");
  std::memset(shared, 0xff, Bytes);
  emulation::Copies& c = emulation::copies();
  c.pending.push_back({shared, exists ? global : nullptr, Bytes, c.group});
}

inline void copies_commit() { ++emulation::copies().group; }

template <int Groups>
void copies_wait() {
  emulation::Copies& c = emulation::copies();
  size_t done = 0;
  for (; done < c.pending.size() && c.pending[done].group < c.group - Groups; ++done) {
    const emulation::PendingCopy& copy = c.pending[done];
    if (copy.from)
      std::memcpy(copy.to, copy.from, copy.bytes);
    else
      std::memset(copy.to, 0, copy.bytes);
  }
  c.pending.erase(c.pending.begin(), c.pending.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace fnn::cuda
