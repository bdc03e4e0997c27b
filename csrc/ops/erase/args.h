#pragma once

#include <cstdint>

#include "core/changing.h"
#include "core/inline.h"
#include "core/philox.h"

namespace fnn {

constexpr int kEraseTries = 10;

// y = x with a random rectangle of each image, or none, set to `value`. With a size: a rectangle of height x width
// about a random pixel, cut off at the borders (DeVries and Taylor, "Improved regularization of convolutional neural
// networks with cutout", 2017). Else, with probability p, one whose share of the area and whose ratio of height to
// width are random, inside the image: the first of ten that fits (Zhong et al., "Random erasing data augmentation",
// AAAI 2020).
template <class T>
struct EraseArgs {
  const T* x;  // (n, c, h, w)
  T* y;        // (n, c, h, w)
  int64_t n, c, h, w;
  bool channels_last;  // both, in memory
  Changing<PhiloxKey> key;
  double p, area[2], log_ratio[2];
  int64_t height, width;  // 0 for random ones
  T value;

  // A block for the probability and the place of a given size, then one a try.
  FNN_INLINE int64_t image_blocks() const { return height ? 1 : 1 + kEraseTries; }

  template <class V>
  void visit(V& v) {
    v.in(x, n * c * h * w);
    v.out(y, n * c * h * w);
  }
  auto& changing() { return key; }
};

}  // namespace fnn
