// What code in a kernel may call: the part of CUDA's device functions that fastnn uses.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "execution.h"

inline void __syncthreads() { emulation::meet_block(); }
inline void __syncwarp(unsigned mask = 0xffffffff) {
  emulation::meet_lanes(mask, nullptr, [](void**, unsigned) {});
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace emulation {

template <class T>
struct Shuffle {
  T value, result;
  int from;  // lane
};

template <class T>
T shuffle(unsigned mask, T value, int from) {
  static_assert(std::is_arithmetic_v<T>);
  Shuffle<T> mine{value, value, from};
  meet_lanes(mask, &mine, [](void** lane, unsigned mask) {
    for (int i = 0; i < kWarp; ++i) {
      if (!(mask >> i & 1)) continue;
      auto& to = *static_cast<Shuffle<T>*>(lane[i]);
      if (!(mask >> to.from & 1)) mistake("a lane asks for the value of one that the mask leaves out");
      to.result = static_cast<Shuffle<T>*>(lane[to.from])->value;
    }
  });
  return mine.result;
}

inline int lane() {
  return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % kWarp);
}
// The part of the warp, of `width` lanes, that this one is in.
inline int part(int width) { return lane() / width * width; }

struct Vote {
  bool mine;
  unsigned all;
};

}  // namespace emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = warpSize) {
  return emulation::shuffle(mask, value, emulation::part(width) + (from & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize) {
  const int from = emulation::lane() ^ lanes;  // of a later part: its own; of an earlier one: that
  return emulation::shuffle(mask, value, from < emulation::part(width) + width ? from : emulation::lane());
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = warpSize) {
  const int from = emulation::lane() + static_cast<int>(by);
  return emulation::shuffle(mask, value, from < emulation::part(width) + width ? from : emulation::lane());
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = warpSize) {
  const int from = emulation::lane() - static_cast<int>(by);
  return emulation::shuffle(mask, value, from >= emulation::part(width) ? from : emulation::lane());
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  emulation::Vote mine{predicate != 0, 0};
  emulation::meet_lanes(mask, &mine, [](void** lane, unsigned mask) {
    unsigned all = 0;
    for (int i = 0; i < warpSize; ++i)
      if (mask >> i & 1 && static_cast<emulation::Vote*>(lane[i])->mine) all |= 1u << i;
    for (int i = 0; i < warpSize; ++i)
      if (mask >> i & 1) static_cast<emulation::Vote*>(lane[i])->all = all;
  });
  return mine.all;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }

// Threads take turns, so that nothing comes between. Of integers alone: sums of floating-point
// numbers would depend on their order.
#define FNN_ATOMIC(name, value)                                                    \
  template <class T>                                                               \
  T name(T* at, std::type_identity_t<T> x) {                                       \
    static_assert(std::is_integral_v<T>, "float atomics: not the same every run"); \
    const T old = *at;                                                             \
    *at = value;                                                                   \
    return old;                                                                    \
  }
FNN_ATOMIC(atomicAdd,
           static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(x)))
FNN_ATOMIC(atomicMin, x < old ? x : old)
FNN_ATOMIC(atomicMax, x > old ? x : old)
FNN_ATOMIC(atomicAnd, old& x)
FNN_ATOMIC(atomicOr, old | x)
FNN_ATOMIC(atomicXor, old ^ x)
FNN_ATOMIC(atomicExch, x)
#undef FNN_ATOMIC
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> x) {
  const T old = *at;
  if (old == expected) *at = x;
  return old;
}

// Loads and stores that only differ in what the caches keep.
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, std::type_identity_t<T> x) {
  *p = x;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }

#define FNN_SAME_BITS(name, From, To)    \
  inline To name(From x) {               \
    To y;                                \
    static_assert(sizeof x == sizeof y); \
    std::memcpy(&y, &x, sizeof y);       \
    return y;                            \
  }
FNN_SAME_BITS(__float_as_int, float, int)
FNN_SAME_BITS(__int_as_float, int, float)
FNN_SAME_BITS(__float_as_uint, float, unsigned)
FNN_SAME_BITS(__uint_as_float, unsigned, float)
FNN_SAME_BITS(__double_as_longlong, double, long long)
FNN_SAME_BITS(__longlong_as_double, long long, double)
#undef FNN_SAME_BITS

// sin(pi x) and cos(pi x): by quarters of a turn, of which whole ones are taken off exactly.
template <class T>
void sincospi(T x, T* sine, T* cosine) {
  const T quarters = std::rint(2 * x), angle = T(3.14159265358979323846) * (x - quarters / 2);
  const T s = std::sin(angle), c = std::cos(angle);
  const int quarter = static_cast<int>(std::fmod(quarters, T(4))) & 3;
  *sine = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
  *cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
}

inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }
inline double rsqrt(double x) { return 1. / std::sqrt(x); }
