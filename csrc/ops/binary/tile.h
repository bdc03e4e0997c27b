// The formulas of two operands: functions of single elements.
#pragma once

#include "ops/binary/args.h"
#include "simd/math.h"

namespace fnn::FNN_ISA {

// Integers wrap around, which is undefined for signed types: computed unsigned.
template <class T>
struct Wrap {
  using type = T;
};
template <>
struct Wrap<int64_t> {
  using type = uint64_t;
};
template <>
struct Wrap<int32_t> {
  using type = uint32_t;
};

#define FNN_BINARY(name, formula)                        \
  struct name {                                          \
    template <class T>                                   \
    FNN_INLINE auto operator()(T a, T b) const {         \
      using W [[maybe_unused]] = typename Wrap<T>::type; \
      return formula;                                    \
    }                                                    \
  };
FNN_BINARY(Add, T(W(a) + W(b)))
FNN_BINARY(Sub, T(W(a) - W(b)))
FNN_BINARY(Mul, T(W(a) * W(b)))
FNN_BINARY(Div, a / b)
FNN_BINARY(Pow, pow(a, b))
FNN_BINARY(Maximum, a != a ? a : (a > b ? a : b))
FNN_BINARY(Minimum, a != a ? a : (a < b ? a : b))
FNN_BINARY(Equal, a == b)
FNN_BINARY(NotEqual, a != b)
FNN_BINARY(Less, a < b)
FNN_BINARY(LessEqual, a <= b)
FNN_BINARY(Greater, a > b)
FNN_BINARY(GreaterEqual, a >= b)
#undef FNN_BINARY

template <class T>
constexpr bool kFloating = T(0.5) != T(0);

// f(Add{}) and so on, for operands of type T: the switch stands outside the loops.
template <class T, class F>
FNN_HOST_INLINE void with_binary(BinaryOp op, const F& f) {
  switch (op) {
    case BinaryOp::add: return f(Add{});
    case BinaryOp::sub: return f(Sub{});
    case BinaryOp::mul: return f(Mul{});
    case BinaryOp::maximum: return f(Maximum{});
    case BinaryOp::minimum: return f(Minimum{});
    case BinaryOp::div:
    case BinaryOp::pow:
      if constexpr (kFloating<T>) {  // the boundary sends no integers here
        if (op == BinaryOp::div) return f(Div{});
        return f(Pow{});
      }
  }
}

template <class F>
FNN_HOST_INLINE void with_compare(CompareOp op, const F& f) {
  switch (op) {
    case CompareOp::eq: return f(Equal{});
    case CompareOp::ne: return f(NotEqual{});
    case CompareOp::lt: return f(Less{});
    case CompareOp::le: return f(LessEqual{});
    case CompareOp::gt: return f(Greater{});
    case CompareOp::ge: return f(GreaterEqual{});
  }
}

}  // namespace fnn::FNN_ISA
