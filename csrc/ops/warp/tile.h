// Formulas of a warp. None contracts a * b + c: an image comes out the same on every instruction set and GPU.
#pragma once

#include "ops/warp/args.h"
#include "simd/math.h"
#include "tile/philox_rounds.h"
#include "tile/portable.h"

namespace fnn::FNN_ISA {

// Where the pixel (x, y) of the result is found: (xx x + xy y + x0, yx x + yy y + y0).
struct AffineMap {
  double xx, xy, x0, yx, yy, y0;
};

FNN_INLINE double in_range(const double (&range)[2], uint32_t word) {
  return range[0] + (range[1] - range[0]) * static_cast<double>(unit(word));
}

FNN_INLINE double whole_in_range(const double (&range)[2], uint32_t word) {
  return round_half_up(in_range(range, word));
}

// The inverse of one stage from its words: back by the shift, then R(-angle), the inverse shears and scale, the flips.
FNN_INLINE AffineMap draw_stage(const WarpStage& s, const uint32_t* words) {
  const Direction turn = direction(in_range(s.degrees, words[0]));
  const double shift_x = whole_in_range(s.x, words[1]), shift_y = whole_in_range(s.y, words[2]);
  const double scale = in_range(s.scale, words[3]);
  const double shear_x = tangent(in_range(s.shear_x, words[4])), shear_y = tangent(in_range(s.shear_y, words[5]));
  const double flip_x = static_cast<double>(unit(words[6])) < s.flip_x ? -1 : 1;
  const double flip_y = static_cast<double>(unit(words[7])) < s.flip_y ? -1 : 1;

  const double yx = shear_y * turn.cos - turn.sin, yy = shear_y * turn.sin + turn.cos;
  AffineMap m;
  m.xx = flip_x * ((turn.cos + shear_x * yx) / scale);
  m.xy = flip_x * ((turn.sin + shear_x * yy) / scale);
  m.yx = flip_y * (yx / scale);
  m.yy = flip_y * (yy / scale);
  const double x = -s.centre_x - shift_x, y = -s.centre_y - shift_y;
  m.x0 = m.xx * x + m.xy * y + s.centre_x;
  m.y0 = m.yx * x + m.yy * y + s.centre_y;
  return m;
}

// All stages of an image, the last one first. words: kStageWords a stage.
template <class T>
FNN_INLINE AffineMap draw_map(const WarpArgs<T>& a, const uint32_t* words) {
  AffineMap all{1, 0, 0, 0, 1, 0};
  for (int i = a.stages - 1; i >= 0; --i) {
    const AffineMap m = draw_stage(a.stage[i], words + i * kStageWords);
    all = {m.xx * all.xx + m.xy * all.yx, m.xx * all.xy + m.xy * all.yy, m.xx * all.x0 + m.xy * all.y0 + m.x0,
           m.yx * all.xx + m.yy * all.yx, m.yx * all.xy + m.yy * all.yy, m.yx * all.x0 + m.yy * all.y0 + m.y0};
  }
  return all;
}

// The noise of a pixel in x and y: 12 bits each, symmetric about 0.
FNN_INLINE float noise_x(uint32_t word) { return static_cast<float>(2 * (word >> 20) + 1) * 0x1p-12f - 1.f; }
FNN_INLINE float noise_y(uint32_t word) { return static_cast<float>(2 * (word >> 8 & 0xFFF) + 1) * 0x1p-12f - 1.f; }

// The pixels that a Gaussian reaches on a circle: each once, however wide it is.
struct Reach {
  int64_t first, count;

  FNN_INLINE Reach(int64_t radius, int64_t size)
      : first(2 * radius < size ? -radius : 0), count(2 * radius < size ? 2 * radius + 1 : size) {}
};

// weight[j] (count), of pixel first + j: they sum to `total`.
template <class T>
FNN_INLINE void gaussian_weights(double decay, int64_t radius, int64_t size, double total, T* weight) {
  const Reach reach(radius, size);
  double sum = 0;
  for (int pass = 0; pass < 2; ++pass) {
    double g = 1, step = decay;  // exp(-k^2 / (2 sigma^2)), and what leads to the next one
    for (int64_t j = 0; pass && j < reach.count; ++j) weight[j] = 0;
    for (int64_t k = 0; k <= radius; ++k) {
      if (pass) {
        weight[(k - reach.first) % reach.count] += static_cast<T>(g * (total / sum));
        if (k)
          weight[((-k - reach.first) % reach.count + reach.count) % reach.count] += static_cast<T>(g * (total / sum));
      }
      sum += pass ? 0 : k ? 2 * g : g;
      g *= step;
      step *= decay * decay;
    }
  }
}

// The border that the CPU puts around an image: 1 pixel before, 2 behind, so that the four neighbours of
// any place within_border() exist. With the fill there, nothing farther off matters.
template <class V, class T>
FNN_INLINE V within_border(V place, int64_t size, bool edge, T) {
  const V low(edge ? T(0) : T(-1)), high(T(edge ? size - 1 : size));
  place = select(place > low, place, low);  // NaN goes there too
  return select(place < high, place, high);
}

// b has no share where f is 0, not even a NaN's.
template <class V>
FNN_INLINE V between(V a, V b, V f) {
  return select(f > V(0), a + f * (b - a), a);
}

}  // namespace fnn::FNN_ISA
