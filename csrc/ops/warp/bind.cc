#include "ops/warp/op.h"

#include <array>
#include <cmath>

#include "core/random.h"
#include "ops/copy/op.h"
#include "ops/warp/args.h"
#include "plan/launch.h"
#include "python/casters.h"

namespace fnn {
namespace {

using StageNumbers = std::array<double, sizeof(WarpStage) / sizeof(double)>;

WarpStage checked_stage(const StageNumbers& numbers) {
  const WarpStage s = std::bit_cast<WarpStage>(numbers);
  for (const double v : numbers) check(std::isfinite(v), "warp", "a stage must hold finite numbers; got ", v);
  check(s.scale[0] > 0 && s.scale[1] > 0, "warp", "scale must be positive; got ", s.scale[0], " to ", s.scale[1]);
  for (const double v : {s.shear_x[0], s.shear_x[1], s.shear_y[0], s.shear_y[1]})
    check(std::abs(v) < 90, "warp", "shear must be in (-90, 90) degrees; got ", v);
  return s;
}

Tensor warp(const Tensor& input, const std::vector<StageNumbers>& stages, Pair size, double alpha, double sigma,
            double fill, bool edge) {
  check_images("warp", input);
  check(stages.size() <= kMostStages, "warp", "at most ", kMostStages, " maps in one resampling; got ", stages.size());
  check(size.h > 0 && size.w > 0 && size.h < 1 << 20 && size.w < 1 << 20, "warp", "size must be in [1, 2^20); got ",
        size);
  check(std::isfinite(alpha), "warp", "alpha must be finite; got ", alpha);
  check(sigma > 0 && sigma <= 1e4, "warp", "sigma must be in (0, 10000]; got ", sigma);
  const bool last = is_channels_last(*input) && !is_contiguous(*input);
  const Tensor x = last ? as_channels_last(input) : as_contiguous(input);
  const int64_t n = x->shape[0], c = x->shape[1], h = x->shape[2], w = x->shape[3];
  check((h + 3) * (w + 3) < int64_t{1} << 31, "warp", "images are too large; got shape ", x->shape);
  const Dims shape{n, c, size.h, size.w};
  const Tensor y = last ? empty_channels_last(shape, x->dtype) : empty(shape, x->dtype);
  visit_floating("warp", "input", x->dtype, [&]<class T>() {
    WarpArgs<T> a{x->data<T>(),
                  y->data<T>(),
                  n,
                  c,
                  h,
                  w,
                  size.h,
                  size.w,
                  last,
                  {},
                  static_cast<int>(stages.size()),
                  {},
                  alpha,
                  std::exp(-1 / (2 * sigma * sigma)),
                  std::lround(4 * sigma),
                  edge,
                  static_cast<T>(fill)};
    for (size_t i = 0; i < stages.size(); ++i) a.stage[i] = checked_stage(stages[i]);
    launch<kernel::warp>(std::move(a),
                         [](WarpArgs<T>& a) { a.key.value = reserve_random(4 * a.n * a.image_blocks()); });
  });
  return y;
}

}  // namespace

void bind_warp(Module& m) {
  m.def("warp", &warp, required("input"), py::arg("stages"), py::arg("size"), py::arg("alpha") = 0.0,
        py::arg("sigma") = 1.0, py::arg("fill") = 0.0, py::arg("edge") = false, ReleaseGil(),
        "Images (N, C, H, W), each under random affine maps of its own and a random smooth field, resampled once to "
        "size. A stage is 16 numbers: from and to of degrees, x, y, scale, shear x, shear y; the probabilities of a "
        "flip in x and y; the centre's x and y.");
}

}  // namespace fnn
