// A kernel call as data: what a recorder keeps, a plan rewrites and a replay runs.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <type_traits>
#include <vector>

#include "core/changing.h"
#include "core/dtype.h"
#include "core/stream.h"

namespace fnn {

// One pointer of an Args, as its visit() lists them.
struct Access {
  void** pointer;
  int64_t bytes;
  bool reads, writes;

  char* address() const { return static_cast<char*>(*pointer); }
};

// The visitor that collects them; null pointers and empty arrays are left out.
class Accesses : public std::vector<Access> {
 public:
  template <class T>
  void in(const T*& p, int64_t n) {
    add(const_cast<T**>(&p), n * sizeof(T), true, false);
  }
  template <class T>
  void out(T*& p, int64_t n) {
    add(&p, n * sizeof(T), false, true);
  }
  void out_bytes(void*& p, int64_t bytes) { add(&p, bytes, false, true); }
  template <class T>
  void inout(T*& p, int64_t n) {
    add(&p, n * sizeof(T), true, true);
  }

 private:
  template <class P>
  void add(P* p, int64_t bytes, bool reads, bool writes) {
    if (*p && bytes > 0) push_back({reinterpret_cast<void**>(p), bytes, reads, writes});
  }
};

// What there is to know about a kernel and its type of arguments; compared by address.
struct KernelInfo {
  const char* name;
  DType dtype;
  size_t args_size;
  bool check;  // reads only, and raises when it does not like what it reads
  void (*run)(Stream&, const void* args);
  void (*visit)(void* args, Accesses&);
  double (*flops)(const void* args);
  int64_t* (*count)(void* args);  // of a check: how many values it looks at, one behind the other
};

template <class K, template <class> class Args, class T>
inline constexpr KernelInfo kernel_info{
    K::label,
    dtype_of<T>::value,
    sizeof(Args<T>),
    K::is_check,
    [](Stream& s, const void* args) { K::run(s, *static_cast<const Args<T>*>(args)); },
    [](void* args, Accesses& to) { static_cast<Args<T>*>(args)->visit(to); },
    [](const void* args) -> double {
      if constexpr (requires(const Args<T>& a) { a.flops(); }) return static_cast<const Args<T>*>(args)->flops();
      return 0;
    },
    [](void* args) -> int64_t* {
      if constexpr (K::is_check) return &static_cast<Args<T>*>(args)->n;
      return nullptr;
    }};

// Called with the arguments before each replay of a kernel, to read anew what changes from
// one step to the next: a learning rate, the state of the random generator.
using Slot = std::function<void(void* args)>;

// What a slot fills in: a Changing.
struct Changes {
  void* value = nullptr;
  const void** on_gpu = nullptr;
  size_t bytes = 0;

  Changes() = default;
  template <class T>
  explicit Changes(Changing<T>& c)
      : value(&c.value), on_gpu(reinterpret_cast<const void**>(&c.on_gpu)), bytes(sizeof(T)) {}
};

struct Op {
  const KernelInfo* info;
  std::unique_ptr<std::max_align_t[]> args;
  Slot slot;  // may be empty
  Changes changes = {};

  template <class T>
  static std::unique_ptr<std::max_align_t[]> keep(const T& args) {
    static_assert(std::is_trivially_copyable_v<T>);
    auto copy =
        std::make_unique<std::max_align_t[]>((sizeof(T) + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
    std::memcpy(copy.get(), &args, sizeof(T));
    return copy;
  }

  // The arguments, if this is a call of kernel K with these; else null.
  template <class K, template <class> class Args, class T>
  Args<T>* as() const {
    return info == &kernel_info<K, Args, T> ? reinterpret_cast<Args<T>*>(args.get()) : nullptr;
  }
  Accesses accesses() const {
    Accesses found;
    info->visit(args.get(), found);
    return found;
  }
};

}  // namespace fnn
