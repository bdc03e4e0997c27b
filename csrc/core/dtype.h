// The element types a Tensor can hold.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/inline.h"

namespace fnn {

using f32 = float;
using f64 = double;
using i64 = int64_t;
using i32 = int32_t;
using u8 = uint8_t;
using b8 = bool;

// Ordered so that the larger of two is the type both promote to, except that
// integers meeting float32 stay float32, which this order gives as well.
enum class DType : uint8_t { b8, u8, i32, i64, f32, f64 };

constexpr int kDTypes = 6;

struct DTypeInfo {
  const char* name;  // NumPy's and PyTorch's name
  size_t size;       // bytes
};

inline constexpr DTypeInfo kDTypeInfo[kDTypes] = {{"bool", 1},  {"uint8", 1},   {"int32", 4},
                                                  {"int64", 8}, {"float32", 4}, {"float64", 8}};

constexpr const char* name(DType t) { return kDTypeInfo[static_cast<int>(t)].name; }
constexpr size_t itemsize(DType t) { return kDTypeInfo[static_cast<int>(t)].size; }
constexpr bool is_floating(DType t) { return t >= DType::f32; }
constexpr DType promote(DType a, DType b) { return a < b ? b : a; }

// f.template operator()<T>() for an element type that is known only at run time.
template <class F>
FNN_HOST_INLINE decltype(auto) visit_all(DType t, F&& f) {
  switch (t) {
    case DType::b8: return f.template operator()<b8>();
    case DType::u8: return f.template operator()<u8>();
    case DType::i32: return f.template operator()<i32>();
    case DType::i64: return f.template operator()<i64>();
    case DType::f64: return f.template operator()<f64>();
    default: return f.template operator()<f32>();
  }
}

template <class T>
struct dtype_of;
template <>
struct dtype_of<f32> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of<f64> {
  static constexpr DType value = DType::f64;
};
template <>
struct dtype_of<i64> {
  static constexpr DType value = DType::i64;
};
template <>
struct dtype_of<i32> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of<u8> {
  static constexpr DType value = DType::u8;
};
template <>
struct dtype_of<b8> {
  static constexpr DType value = DType::b8;
};

}  // namespace fnn
