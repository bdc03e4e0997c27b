#include <cmath>

#include "core/random.h"
#include "ops/copy/op.h"
#include "ops/erase/args.h"
#include "ops/warp/op.h"
#include "plan/launch.h"
#include "python/casters.h"

namespace fnn {
namespace {

using Bounds = std::pair<double, double>;

Tensor erase(const Tensor& input, double p, Bounds scale, Bounds ratio, Pair size, double value) {
  check_images("erase", input);
  check(p >= 0 && p <= 1, "erase", "p must be in [0, 1]; got ", p);
  check(scale.first >= 0 && scale.first <= scale.second && scale.second <= 1, "erase",
        "scale must be a range in [0, 1]; got (", scale.first, ", ", scale.second, ')');
  check(ratio.first > 0 && ratio.first <= ratio.second && std::isfinite(ratio.second), "erase",
        "ratio must be a range above 0; got (", ratio.first, ", ", ratio.second, ')');
  check(size == Pair{} || (size.h > 0 && size.w > 0 && size.h < 1 << 20 && size.w < 1 << 20), "erase",
        "size must be in [1, 2^20); got ", size);
  const bool last = is_channels_last(*input) && !is_contiguous(*input);
  const Tensor x = last ? as_channels_last(input) : as_contiguous(input);
  const Tensor y = empty_like(x);
  visit_floating("erase", "input", x->dtype, [&]<class T>() {
    launch<kernel::erase>(EraseArgs<T>{x->data<T>(),
                                       y->data<T>(),
                                       x->shape[0],
                                       x->shape[1],
                                       x->shape[2],
                                       x->shape[3],
                                       last,
                                       {},
                                       p,
                                       {scale.first, scale.second},
                                       {std::log(ratio.first), std::log(ratio.second)},
                                       size.h,
                                       size.w,
                                       static_cast<T>(value)},
                          [](EraseArgs<T>& a) { a.key.value = reserve_random(4 * a.n * a.image_blocks()); });
  });
  return y;
}

}  // namespace

void bind_erase(Module& m) {
  m.def("erase", &erase, required("input"), py::arg("p") = 0.5, py::arg("scale") = Bounds(0.02, 0.33),
        py::arg("ratio") = Bounds(0.3, 3.3), py::arg("size") = Pair{}, py::arg("value") = 0.0, ReleaseGil(),
        "Images (N, C, H, W) with a random rectangle of each set to value: of a share of the area in scale and a ratio "
        "of height to width in ratio, with probability p; or, always, of a given size about a random pixel.");
}

}  // namespace fnn
