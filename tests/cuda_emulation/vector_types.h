// CUDA's small vectors.
#pragma once

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define FNN_VECTORS(T, name, align2, align4)                 \
  struct alignas(align2) name##2 { T x, y; };                \
  struct alignas(align4) name##4 { T x, y, z, w; };          \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
FNN_VECTORS(float, float, 8, 16)
FNN_VECTORS(double, double, 16, 16)
FNN_VECTORS(int, int, 8, 16)
FNN_VECTORS(unsigned, uint, 8, 16)
#undef FNN_VECTORS
