#include "isa/isa.h"

#include <cstdlib>

#include "core/error.h"
#include "isa/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fnn {

namespace generic {
extern const KernelTable table;
}
#if FNN_X86_KERNELS
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
#endif

namespace {

struct Features {
  bool avx2 = false, avx512 = false, bf16 = false;
};

Features detect() {
  Features f;
#if defined(__x86_64__)
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  const bool fma = c >> 12 & 1, osxsave = c >> 27 & 1, avx = c >> 28 & 1;
  if (!osxsave || !avx) return f;
  // The system must save the wide registers too: bits 1-2 are SSE and AVX state, 5-7 AVX-512.
  unsigned lo, hi;
  asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.avx2 = fma && (b >> 5 & 1) && (lo & 0x6) == 0x6;
  const unsigned wanted = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;  // F DQ CD BW VL
  f.avx512 = f.avx2 && (b & wanted) == wanted && (lo & 0xe6) == 0xe6;
  const unsigned subleaves = a;
  f.bf16 = f.avx512 && subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
#endif
  return f;
}

const Isa* chosen = nullptr;

}  // namespace

const std::vector<Isa>& instruction_sets() {
  static const std::vector<Isa> sets = [] {
    [[maybe_unused]] const Features f = detect();
    return std::vector<Isa>{
        {"generic", true, &generic::table},
#if FNN_X86_KERNELS
#if defined(FNN_EMULATE_AVX512)
        {"avx512-emulated", f.avx2, &avx512::table, true},  // slow: for those who ask for it by name
#endif
        {"avx2", f.avx2, &avx2::table},
#if !defined(FNN_EMULATE_AVX512)
        {"avx512", f.avx512, &avx512::table, f.bf16},
#endif
#endif
    };
  }();
  return sets;
}

void choose_isa() {
  const char* forced = std::getenv("FASTNN_ISA");
  std::string valid;
  for (const Isa& isa : instruction_sets()) {
    if (!isa.available) continue;
    valid += (valid.empty() ? "" : ", ") + std::string(isa.name);
    if (!forced || !*forced || std::string(forced) == isa.name) chosen = &isa;
  }
  check(chosen != nullptr, "FASTNN_ISA", "'", forced ? forced : "",
        "' is not an instruction set available on this machine; valid here: ", valid);
}

const Isa& chosen_isa() { return *chosen; }
const KernelTable& kernels() { return *chosen->table; }

}  // namespace fnn
