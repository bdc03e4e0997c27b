#include "autograd/tape.h"
#include "plan/launch.h"
#include "ops/copy/op.h"
#include "ops/view/op.h"
#include "python/casters.h"

#include <limits>
#include <optional>

namespace fnn {
namespace {

struct Options {
  Pair kernel, stride, padding{0, 0}, dilation{1, 1};
  bool ceil_mode = false;
};

int64_t output_size(const char* op, const char* axis, int64_t size, int64_t kernel, int64_t stride, int64_t pad,
                    int64_t dilation, bool ceil_mode) {
  check(2 * pad <= kernel, op, "padding must be at most half of kernel_size ", kernel, "; got ", pad);
  const int64_t span = dilation * (kernel - 1) + 1, room = size + 2 * pad - span;
  check(room >= 0, op, "kernel of ", axis, " ", span, " is larger than its padded input of ", size + 2 * pad);
  int64_t out = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
  if (ceil_mode && (out - 1) * stride >= size + pad) --out;  // no window begins in the padding behind
  return out;
}

PoolShape pool_shape(const char* op, const Tensor& x, const Options& o) {
  check_window(op, "kernel_size", o.kernel, 1);
  check_window(op, "stride", o.stride, 1);
  check_window(op, "dilation", o.dilation, 1);
  check_window(op, "padding", o.padding, 0);
  PoolShape s{x->shape[0], x->shape[1], x->shape[2],  x->shape[3],  0,
              0,           o.kernel.h,  o.kernel.w,   o.stride.h,   o.stride.w,
              o.padding.h, o.padding.w, o.dilation.h, o.dilation.w, false};
  s.oh = output_size(op, "height", s.h, s.kh, s.stride_h, s.pad_h, s.dilation_h, o.ceil_mode);
  s.ow = output_size(op, "width", s.w, s.kw, s.stride_w, s.pad_w, s.dilation_w, o.ceil_mode);
  return s;
}

// Runs f on (N, C, H, W); an input (C, H, W) is a batch of one.
template <class F>
Tensor batched(const char* op, const Tensor& input, const F& f) {
  check(input->ndim() == 4 || input->ndim() == 3, op, "expected input (N, C, H, W) or (C, H, W); got shape ",
        input->shape);
  visit_floating(op, "input", input->dtype, []<class T>() {});
  if (input->ndim() == 4) return f(input);
  const Tensor y = f(reshape(input, {1, input->shape[0], input->shape[1], input->shape[2]}));
  return reshape(y, {y->shape[1], y->shape[2], y->shape[3]});
}

Tensor empty_output(const PoolShape& s, DType dtype) { return empty_channels_last({s.n, s.c, s.oh, s.ow}, dtype); }

// Launches forward unless there is nothing to do, and puts backward(dy, dx) on the tape.
template <class Forward, class Make>
Tensor pooled(const char* op, const Tensor& input, const Tensor& y, const Forward& forward, const Make& make) {
  if (y->numel() > 0) visit_floating(op, "input", y->dtype, forward);
  return record(op, {&input}, y, [&] {
    return [op, backward = make(), shape = input->shape](const Tensor& dy, Grads& dx) {
      dx[0] = empty_channels_last(shape, dy->dtype);
      if (dy->numel() == 0) return copy_into(dx[0], zeros({}, dy->dtype));
      const Tensor g = as_channels_last(dy);
      visit_floating(op, "input", dy->dtype, [&]<class T>() { backward.template operator()<T>(g, dx[0]); });
    };
  });
}

Tensor max_pool(const Tensor& input, const Options& o, Tensor* indices) {
  const PoolShape s = pool_shape("max_pool2d", input, o);
  check(s.h * s.w <= std::numeric_limits<int32_t>::max(), "max_pool2d", "images are too large: ", input->shape);
  const Tensor x = as_channels_last(input);
  const Tensor y = empty_output(s, x->dtype), index = empty_output(s, DType::i32);
  if (indices) *indices = index;
  return pooled(
      "max_pool2d", input, y,
      [&]<class T>() {
        launch<kernel::max_pool_fwd>(MaxPoolFwdArgs<T>{s, x->data<T>(), y->data<T>(), index->data<i32>()});
      },
      [&] {
        return [s, index]<class T>(const Tensor& dy, const Tensor& dx) {
          launch<kernel::max_pool_bwd>(MaxPoolBwdArgs<T>{s, index->data<i32>(), dy->data<T>(), dx->data<T>()});
        };
      });
}

Tensor avg_pool(const char* op, const Tensor& input, const PoolShape& s, bool include_pad, int64_t divisor) {
  const Tensor x = as_channels_last(input), y = empty_output(s, x->dtype);
  return pooled(
      op, input, y,
      [&]<class T>() {
        launch<kernel::avg_pool_fwd>(AvgPoolArgs<T>{s, x->data<T>(), y->data<T>(), include_pad, divisor});
      },
      [&] {
        return [s, include_pad, divisor]<class T>(const Tensor& dy, const Tensor& dx) {
          launch<kernel::avg_pool_bwd>(AvgPoolArgs<T>{s, dy->data<T>(), dx->data<T>(), include_pad, divisor});
        };
      });
}

Tensor lp_pool(const Tensor& input, const Options& o, double p) {
  const PoolShape s = pool_shape("lp_pool2d", input, o);
  const Tensor x = as_channels_last(input), y = empty_output(s, x->dtype);
  return pooled(
      "lp_pool2d", input, y,
      [&]<class T>() {
        launch<kernel::lp_pool_fwd>(LpPoolFwdArgs<T>{s, x->data<T>(), y->data<T>(), static_cast<T>(p)});
      },
      [&] {
        return [s, p, sx = Saved(x), sy = Saved(y)]<class T>(const Tensor& dy, const Tensor& dx) {
          const Tensor &x = sx.get("lp_pool2d"), &y = sy.get("lp_pool2d");
          launch<kernel::lp_pool_bwd>(
              LpPoolBwdArgs<T>{s, x->data<T>(), y->data<T>(), dy->data<T>(), dx->data<T>(), static_cast<T>(p)});
        };
      });
}

using MaybePair = std::optional<Pair>;

py::object max_pool2d(const Tensor& input, Pair kernel, MaybePair stride, Pair padding, Pair dilation, bool ceil_mode,
                      bool return_indices) {
  Tensor index, y;
  {
    const py::gil_scoped_release release;
    y = batched("max_pool2d", input, [&](const Tensor& x) {
      return max_pool(x, {kernel, stride.value_or(kernel), padding, dilation, ceil_mode},
                      return_indices ? &index : nullptr);
    });
    if (return_indices) {
      index = cast("max_pool2d", index, DType::i64);
      if (input->ndim() == 3) index = reshape(index, y->shape);
    }
  }
  return return_indices ? py::object(py::make_tuple(y, index)) : py::cast(y);
}

Tensor avg_pool2d(const Tensor& input, Pair kernel, MaybePair stride, Pair padding, bool ceil_mode,
                  bool count_include_pad, std::optional<int64_t> divisor_override) {
  check(!divisor_override || *divisor_override != 0, "avg_pool2d", "divisor_override must not be 0");
  return batched("avg_pool2d", input, [&](const Tensor& x) {
    const PoolShape s = pool_shape("avg_pool2d", x, {kernel, stride.value_or(kernel), padding, {1, 1}, ceil_mode});
    return avg_pool("avg_pool2d", x, s, count_include_pad, divisor_override.value_or(0));
  });
}

Tensor lp_pool2d(const Tensor& input, double p, Pair kernel, MaybePair stride, bool ceil_mode) {
  check(p > 0, "lp_pool2d", "norm_type must be positive; got ", p);
  return batched("lp_pool2d", input, [&](const Tensor& x) {
    const Options o{kernel, stride.value_or(kernel), {0, 0}, {1, 1}, ceil_mode};
    // As in PyTorch, 1 is the plain sum, with its sign.
    return p == 1 ? avg_pool("lp_pool2d", x, pool_shape("lp_pool2d", x, o), false, 1) : lp_pool(x, o, p);
  });
}

Tensor adaptive_avg_pool2d(const Tensor& input, Pair output_size) {
  check_window("adaptive_avg_pool2d", "output_size", output_size, 1);
  return batched("adaptive_avg_pool2d", input, [&](const Tensor& x) {
    check(x->shape[2] > 0 && x->shape[3] > 0, "adaptive_avg_pool2d", "images must not be empty; got shape ", x->shape);
    checked_numel("adaptive_avg_pool2d", {x->shape[0], x->shape[1], output_size.h, output_size.w}, itemsize(x->dtype));
    const PoolShape s{x->shape[0], x->shape[1], x->shape[2], x->shape[3], output_size.h, output_size.w, 1, 1, 1, 1,
                      0,           0,           1,           1,           true};
    return avg_pool("adaptive_avg_pool2d", x, s, false, 0);
  });
}

}  // namespace

void bind_pool(Module& m) {
  m.def("max_pool2d", &max_pool2d, required("input"), py::arg("kernel_size"), py::arg("stride") = py::none(),
        py::arg("padding") = Pair{0, 0}, py::arg("dilation") = Pair{1, 1}, py::arg("ceil_mode") = false,
        py::arg("return_indices") = false,
        "Largest value of each window of (N, C, H, W); ties go to the first cell, NaN propagates. With return_indices "
        "also the cells, as iy * W + ix (int64). stride defaults to kernel_size.");
  m.def("avg_pool2d", &avg_pool2d, required("input"), py::arg("kernel_size"), py::arg("stride") = py::none(),
        py::arg("padding") = Pair{0, 0}, py::arg("ceil_mode") = false, py::arg("count_include_pad") = true,
        py::arg("divisor_override") = py::none(), ReleaseGil(), "Mean of each window of (N, C, H, W).");
  m.def("lp_pool2d", &lp_pool2d, required("input"), py::arg("norm_type"), py::arg("kernel_size"),
        py::arg("stride") = py::none(), py::arg("ceil_mode") = false, ReleaseGil(),
        "(sum of |x|^norm_type)^(1/norm_type) of each window of (N, C, H, W), and for norm_type 1 the plain sum; the "
        "gradient is 0 where that is 0.");
  m.def("adaptive_avg_pool2d", &adaptive_avg_pool2d, required("input"), py::arg("output_size"), ReleaseGil(),
        "Mean over windows that divide (N, C, H, W) into output_size rows and columns.");
}

}  // namespace fnn
