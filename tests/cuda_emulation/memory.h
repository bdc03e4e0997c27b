// Memory that shows mistakes: all bits set at first, which is NaN in every floating type, and of
// exactly the size asked for. AddressSanitizer sees what is read or written beside it; without,
// red zones tell of writes.
#pragma once

#include <cstddef>

namespace emulation {

constexpr size_t kAlignment = 1024;  // as shared memory may ask for

unsigned char* allocate_guarded(size_t bytes);
void free_guarded(unsigned char* p, size_t bytes);
bool intact(const unsigned char* p, size_t bytes);

// Of all that cudaMalloc and cudaHostAlloc gave.
void check_memory();

// While one exists, memory of devices may be read and written.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace emulation
