#include <atomic>

#include "autograd/tape.h"
#include "plan/launch.h"
#include "plan/plan.h"
#include "ops/copy/op.h"
#include "ops/matmul/op.h"
#include "ops/view/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

std::atomic<bool> winograd{false};

void set_algorithm(const std::string& name) {
  check(name == "direct" || name == "winograd", "set_conv2d_algorithm", "expected 'direct' or 'winograd'; got '", name,
        "'");
  const bool wanted = name == "winograd";
  if (winograd.exchange(wanted) != wanted) forget_plans();
}
std::string algorithm() { return winograd ? "winograd" : "direct"; }

// 'same', 'valid' or zeros on both sides of each axis.
struct Padding {
  bool same = false;
  Pair size;
};

Padding parse_padding(const char* op, const std::variant<std::string, Pair>& padding) {
  if (const Pair* p = std::get_if<Pair>(&padding)) {
    check_window(op, "padding", *p, 0);
    return {false, *p};
  }
  const std::string& name = std::get<std::string>(padding);
  check(name == "same" || name == "valid", op, "padding must be an int, a pair, 'same' or 'valid'; got '", name, "'");
  return {name == "same", {}};
}

// Size of the output along one axis; sets the padding before and after.
int64_t output_size(const char* op, const char* axis, int64_t size, int64_t kernel, int64_t stride, int64_t dilation,
                    int64_t pad, bool same, int64_t& before, int64_t& after) {
  const int64_t span = dilation * (kernel - 1) + 1;
  before = after = pad;
  if (same) {
    before = (span - 1) / 2;
    after = span - 1 - before;
  }
  check(span <= size + before + after, op, "kernel of ", axis, " ", span,
        " (dilation included) is larger than its padded input of ", size + before + after);
  return (size + before + after - span) / stride + 1;
}

ConvShape conv_shape(const char* op, const Tensor& x, const Tensor& w, Pair stride, const Padding& padding,
                     Pair dilation, int64_t groups) {
  ConvShape s{};
  s.n = x->shape[0], s.c = x->shape[1], s.h = x->shape[2], s.w = x->shape[3];
  s.o = w->shape[0], s.kh = w->shape[2], s.kw = w->shape[3];
  s.stride_h = stride.h, s.stride_w = stride.w;
  s.dilation_h = dilation.h, s.dilation_w = dilation.w;
  s.groups = groups;
  s.winograd = winograd;  // of backward too, whatever the switch says then
  check_window(op, "stride", stride, 1);
  check_window(op, "dilation", dilation, 1);
  check(!padding.same || (stride.h == 1 && stride.w == 1), op, "padding='same' needs a stride of 1; got ", stride);
  check(groups > 0 && s.c % groups == 0 && s.o % groups == 0, op, "groups must divide the channels ", s.c, " and ", s.o,
        "; got ", groups);
  check(w->shape[1] == s.c / groups, op, "expected weight (O, ", s.c / groups, ", kh, kw) for input ", x->shape,
        " and groups ", groups, "; got ", w->shape);
  check(s.kh > 0 && s.kw > 0, op, "expected a kernel of at least 1 x 1; got weight ", w->shape);
  s.oh = output_size(op, "height", s.h, s.kh, stride.h, dilation.h, padding.size.h, padding.same, s.top, s.bottom);
  s.ow = output_size(op, "width", s.w, s.kw, stride.w, dilation.w, padding.size.w, padding.same, s.left, s.right);
  for (int i = 0; i < 4; ++i) s.ws[i] = w->strides[i];
  return s;
}

// (N, C, H, W) inputs; `op` names the caller, conv1d being a convolution of height 1.
Tensor convolve(const char* op, const Tensor& input, const Tensor& weight, const Tensor& bias, Pair stride,
                const Padding& padding, Pair dilation, int64_t groups) {
  for (const Tensor* t : {&weight, &bias})
    check<TypeError>(!*t || (*t)->dtype == input->dtype, op, "expected weight and bias of input's dtype ",
                     name(input->dtype), "; got ", name((*t ? *t : input)->dtype));
  const ConvShape s = conv_shape(op, input, weight, stride, padding, dilation, groups);
  check(!bias || (bias->ndim() == 1 && bias->shape[0] == s.o), op, "expected bias (", s.o, ",); got ",
        bias ? bias->shape : Dims());
  const Tensor x = as_channels_last(input), w = as_dense(weight), b = bias ? as_contiguous(bias) : bias;
  ConvShape z = s;
  for (int i = 0; i < 4; ++i) z.ws[i] = w->strides[i];
  checked_numel(op, {s.n, s.o, s.oh, s.ow}, itemsize(x->dtype));
  const Tensor y = empty_channels_last({s.n, s.o, s.oh, s.ow}, x->dtype);
  if (y->numel() > 0)
    visit_floating(op, "input", x->dtype, [&]<class T>() {
      launch<kernel::conv2d_fwd>(Conv2dFwdArgs<T>{
          z, x->data<T>(), w->data<T>(), b ? b->data<T>() : nullptr, y->data<T>(), {}, nullptr, product_precision()});
    });
  else
    visit_floating(op, "input", x->dtype, []<class T>() {});
  return record(op, {&input, &weight, &bias}, y, [&] {
    return [op, z, sx = Saved(x), sw = Saved(w)](const Tensor& dy, Grads& dx) {
      const Tensor &x = sx.get(op), &w = sw.get(op);
      const Tensor g = as_channels_last(dy);
      const bool none = g->numel() == 0;
      if (dx.needs(0)) dx[0] = none ? zeros(x->shape, x->dtype) : empty_channels_last(x->shape, x->dtype);
      if (dx.needs(1)) dx[1] = none ? zeros(w->shape, w->dtype) : empty_like(w);
      if (dx.needs(2)) dx[2] = none ? zeros({z.o}, x->dtype) : empty({z.o}, x->dtype);
      if (none) return;
      visit_floating(op, "input", x->dtype, [&]<class T>() {
        const auto ptr = [](const Tensor& t) { return t ? t->data<T>() : nullptr; };
        launch<kernel::conv2d_bwd>(Conv2dBwdArgs<T>{z,
                                                    x->data<T>(),
                                                    w->data<T>(),
                                                    g->data<T>(),
                                                    ptr(dx[0]),
                                                    ptr(dx[1]),
                                                    ptr(dx[2]),
                                                    {},
                                                    nullptr,
                                                    nullptr,
                                                    product_precision()});
      });
    };
  });
}

Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias, Pair stride,
              const std::variant<std::string, Pair>& padding, Pair dilation, int64_t groups) {
  check(weight->ndim() == 4, "conv2d", "expected weight (O, C / groups, kh, kw); got shape ", weight->shape);
  check(input->ndim() == 4 || input->ndim() == 3, "conv2d", "expected input (N, C, H, W) or (C, H, W); got shape ",
        input->shape);
  const Padding pad = parse_padding("conv2d", padding);
  if (input->ndim() == 4) return convolve("conv2d", input, weight, bias, stride, pad, dilation, groups);
  const Tensor x = reshape(input, {1, input->shape[0], input->shape[1], input->shape[2]});
  const Tensor y = convolve("conv2d", x, weight, bias, stride, pad, dilation, groups);
  return reshape(y, {y->shape[1], y->shape[2], y->shape[3]});
}

using One = std::variant<int64_t, std::tuple<int64_t>>;
int64_t value(const One& v) {
  return std::holds_alternative<int64_t>(v) ? std::get<0>(v) : std::get<0>(std::get<1>(v));
}

Tensor conv1d(const Tensor& input, const Tensor& weight, const Tensor& bias, const One& stride,
              const std::variant<std::string, One>& padding, const One& dilation, int64_t groups) {
  check(weight->ndim() == 3, "conv1d", "expected weight (O, C / groups, k); got shape ", weight->shape);
  check(input->ndim() == 3 || input->ndim() == 2, "conv1d", "expected input (N, C, L) or (C, L); got shape ",
        input->shape);
  const auto* named = std::get_if<std::string>(&padding);
  const Padding pad =
      named ? parse_padding("conv1d", *named) : parse_padding("conv1d", Pair{0, value(std::get<One>(padding))});
  const bool batched = input->ndim() == 3;
  const Tensor x =
      reshape(input, {batched ? input->shape[0] : 1, input->shape[input->ndim() - 2], 1, input->shape.back()});
  const Tensor w = reshape(weight, {weight->shape[0], weight->shape[1], 1, weight->shape[2]});
  const Tensor y = convolve("conv1d", x, w, bias, {1, value(stride)}, pad, {1, value(dilation)}, groups);
  return batched ? reshape(y, {y->shape[0], y->shape[1], y->shape[3]}) : reshape(y, {y->shape[1], y->shape[3]});
}

}  // namespace

void bind_conv2d(Module& m) {
  m.def("conv2d", &conv2d, required("input"), required("weight"), py::arg("bias") = py::none(),
        py::arg("stride") = Pair{1, 1}, py::arg("padding") = Pair{0, 0}, py::arg("dilation") = Pair{1, 1},
        py::arg("groups") = 1, ReleaseGil(),
        "Cross-correlation of input (N, C, H, W) with weight (O, C / groups, kh, kw), plus bias (O,): (N, O, OH, OW), "
        "stored channels-last. stride, padding and dilation are an int or a pair; padding may be 'same' or 'valid'. "
        "Raises a ValueError for shapes that do not fit and a TypeError for dtypes that differ.");
  m.def("conv1d", &conv1d, required("input"), required("weight"), py::arg("bias") = py::none(),
        py::arg("stride") = One{1}, py::arg("padding") = One{0}, py::arg("dilation") = One{1}, py::arg("groups") = 1,
        ReleaseGil(),
        "Cross-correlation of input (N, C, L) with weight (O, C / groups, k), plus bias (O,): (N, O, OL). padding may "
        "be 'same' or 'valid'.");
  m.def("set_conv2d_algorithm", &set_algorithm, required("name"),
        "How convolutions are computed from now on: 'direct', as at the start, or 'winograd', where it pays. Compiled "
        "steps record anew; a convolution's backward uses what its forward did.\n\n"
        "'winograd' makes outputs in tiles of 4 x 4 from a quarter of the products: Winograd's F(4 x 4, 3 x 3), and "
        "the same for both gradients. It takes kernels of 3 x 3 with stride and dilation 1 and one group, from 16 "
        "channels or more to 16 or more, where there are 4 tiles or more and they take at most half as many products "
        "as the direct way; the gradient of the input also wants a padding of at most 2 at the sides. All others stay "
        "direct. Numbers of like size come out within 16 epsilon sum |x w|, the largest such sum in the tile; a NaN or "
        "an infinity makes NaN of its whole tile. On a GPU all convolutions are direct, whatever is set.\n\n"
        "Raises a ValueError for another name.");
  m.def("get_conv2d_algorithm", &algorithm, "The name that set_conv2d_algorithm() was given last, or 'direct'.");
}

}  // namespace fnn
