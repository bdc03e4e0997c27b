#pragma once

#include <cstdint>

#include "core/changing.h"
#include "core/inline.h"
#include "core/philox.h"

namespace fnn {

// A random affine map, drawn for each image: flips, shears, scales and turns it about a centre, then shifts it by
// whole pixels. Each range is uniform; a flip has a probability. Angles are in degrees, a positive one turns clockwise.
struct WarpStage {
  double degrees[2], x[2], y[2], scale[2], shear_x[2], shear_y[2];
  double flip_x, flip_y;
  double centre_x, centre_y;
};

constexpr int kMostStages = 8;
constexpr int kStageWords = 8;  // random words that each takes: two blocks

// y[i, c, oy, ox] = x[i, c] at (u, v) + alpha (field of image i at (oy, ox)), bilinearly between pixels, where (u, v)
// is the place that the stages, taken backwards, lead to from (oy, ox). The field is uniform noise on (-1, 1),
// smoothed by a Gaussian on a torus, so that it is alike everywhere. Outside x lies `fill`, or its nearest pixel.
// Simard, Steinkraus and Platt, "Best practices for convolutional neural networks", ICDAR 2003.
template <class T>
struct WarpArgs {
  const T* x;  // (n, c, h, w)
  T* y;        // (n, c, oh, ow)
  int64_t n, c, h, w, oh, ow;
  bool channels_last;  // both, in memory
  Changing<PhiloxKey> key;
  int stages;
  WarpStage stage[kMostStages];  // in the order in which they change the image
  double alpha, decay;           // in pixels; exp(-1 / (2 sigma^2)); no field where alpha is 0
  int64_t radius;                // of the Gaussian, in pixels
  bool edge;
  T fill;

  FNN_INLINE int64_t pixel_step() const { return channels_last ? c : 1; }
  FNN_INLINE int64_t channel_step(int64_t pixels) const { return channels_last ? 1 : pixels; }
  // The random words of an image: those of its stages, then one a pixel.
  FNN_INLINE int64_t stage_blocks() const { return stages * (kStageWords / 4); }
  FNN_INLINE int64_t image_blocks() const { return stage_blocks() + (alpha != 0 ? (oh * ow + 3) / 4 : 0); }

  template <class V>
  void visit(V& v) {
    v.in(x, n * c * h * w);
    v.out(y, n * c * oh * ow);
  }
  auto& changing() { return key; }
};

}  // namespace fnn
