#include "isa/kernels.h"
#include "ops/copy/op.h"
#include "python/casters.h"

#include <cmath>

namespace fnn {
namespace {

using Tensors = std::vector<Tensor>;

struct State {
  const char* what;
  const Tensors* list;
  bool optional = false;  // may be empty: then the kernel does without
};

// All lists checked before any parameter changes; then f.operator()<T>(i, gradient) for each.
template <class F>
void for_each_parameter(const char* op, const Tensors& params, const Tensors& grads,
                        std::initializer_list<State> states, const F& f) {
  const auto check_list = [&](const char* what, const Tensors& list) {
    check(list.size() == params.size(), op, "expected ", params.size(), " ", what, "; got ", list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      check(list[i] && list[i]->shape == params[i]->shape, op, "expected ", what, "[", i, "] of shape ",
            params[i]->shape);
      check<TypeError>(list[i]->dtype == params[i]->dtype, op, "expected ", what, "[", i, "] of dtype ",
                       name(params[i]->dtype), "; got ", name(list[i]->dtype));
    }
  };
  for (size_t i = 0; i < params.size(); ++i) {
    check<TypeError>(params[i] != nullptr, op, "params[", i, "] is None");
    check<TypeError>(params[i] != nullptr, op, "params[", i, "] is None");
    visit_floating(op, "params", params[i]->dtype, []<class T>() {});
    check(is_dense(*params[i]), op, "params[", i, "] must be dense in memory; got strides ", params[i]->strides);
    check(params[i]->storage->writable, op, "params[", i, "] is in read-only memory");
  }
  check_list("grads", grads);
  for (const auto& [what, list, optional] : states) {
    if (optional && list->empty()) continue;
    check_list(what, *list);
    for (size_t i = 0; i < list->size(); ++i)
      check(as_strided_like((*list)[i], params[i]->strides) == (*list)[i], op, what, "[", i,
            "] must be laid out in memory as its parameter");
  }
  for (size_t i = 0; i < params.size(); ++i) {
    ++params[i]->storage->version;
    const Tensor g = as_strided_like(grads[i], params[i]->strides);
    visit_floating(op, "params", params[i]->dtype, [&]<class T>() { f.template operator()<T>(i, g->data<T>()); });
  }
}

template <class T>
T* at(const Tensors& list, size_t i) {
  return list.empty() ? nullptr : list[i]->data<T>();
}

void sgd_step(const Tensors& p, const Tensors& g, const Tensors& buf, double lr, double momentum, double dampening,
              double weight_decay, bool nesterov, bool maximize) {
  for_each_parameter("sgd", p, g, {{"momentum_buffers", &buf, true}}, [&]<class T>(size_t i, const T* grad) {
    launch<kernel::sgd>(SgdArgs<T>{p[i]->numel(), p[i]->data<T>(), grad, at<T>(buf, i), T(lr), T(momentum),
                                   T(1 - dampening), T(weight_decay), nesterov, maximize});
  });
}

void adam_step(const Tensors& p, const Tensors& g, const Tensors& m, const Tensors& v, const Tensors& v_max,
               int64_t step, double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled,
               bool amsgrad, bool maximize) {
  check(step > 0, "adam", "step counts from 1; got ", step);
  check(amsgrad != v_max.empty() || p.empty(), "adam", "max_exp_avg_sqs belongs to amsgrad");
  const double t = static_cast<double>(step);
  const double step_size = lr / (1 - std::pow(beta1, t)), bias2 = std::sqrt(1 - std::pow(beta2, t));
  for_each_parameter("adam", p, g, {{"exp_avgs", &m}, {"exp_avg_sqs", &v}, {"max_exp_avg_sqs", &v_max, true}},
                     [&]<class T>(size_t i, const T* grad) {
                       launch<kernel::adam>(AdamArgs<T>{p[i]->numel(), p[i]->data<T>(), grad, at<T>(m, i), at<T>(v, i),
                                                        at<T>(v_max, i), T(beta1), T(1 - beta1), T(beta2), T(1 - beta2),
                                                        T(eps), T(weight_decay), T(1 - lr * weight_decay), T(step_size),
                                                        T(bias2), decoupled, maximize});
                     });
}

void rmsprop_step(const Tensors& p, const Tensors& g, const Tensors& s, const Tensors& buf, const Tensors& mean,
                  double lr, double alpha, double eps, double weight_decay, double momentum, bool centered,
                  bool maximize) {
  check(centered != mean.empty() || p.empty(), "rmsprop", "grad_avgs belongs to centered");
  for_each_parameter("rmsprop", p, g,
                     {{"square_avgs", &s}, {"momentum_buffers", &buf, true}, {"grad_avgs", &mean, true}},
                     [&]<class T>(size_t i, const T* grad) {
                       launch<kernel::rmsprop>(RmspropArgs<T>{
                           p[i]->numel(), p[i]->data<T>(), grad, at<T>(s, i), at<T>(buf, i), at<T>(mean, i), T(lr),
                           T(alpha), T(1 - alpha), T(eps), T(weight_decay), T(momentum), maximize});
                     });
}

void adagrad_step(const Tensors& p, const Tensors& g, const Tensors& s, double lr, double eps, double weight_decay,
                  bool maximize) {
  for_each_parameter("adagrad", p, g, {{"state_sums", &s}}, [&]<class T>(size_t i, const T* grad) {
    launch<kernel::adagrad>(
        AdagradArgs<T>{p[i]->numel(), p[i]->data<T>(), grad, at<T>(s, i), T(lr), T(eps), T(weight_decay), maximize});
  });
}

void adadelta_step(const Tensors& p, const Tensors& g, const Tensors& s, const Tensors& delta, double lr, double rho,
                   double eps, double weight_decay, bool maximize) {
  for_each_parameter(
      "adadelta", p, g, {{"square_avgs", &s}, {"acc_deltas", &delta}}, [&]<class T>(size_t i, const T* grad) {
        launch<kernel::adadelta>(AdadeltaArgs<T>{p[i]->numel(), p[i]->data<T>(), grad, at<T>(s, i), at<T>(delta, i),
                                                 T(lr), T(rho), T(1 - rho), T(eps), T(weight_decay), maximize});
      });
}

}  // namespace

void bind_optimizer(py::module_& m) {
  const auto params = py::arg("params"), grads = py::arg("grads"), lr = py::arg("lr"), eps = py::arg("eps"),
             weight_decay = py::arg("weight_decay"), maximize = py::arg("maximize");
  m.def("sgd_step", &sgd_step, params, grads, py::arg("momentum_buffers"), lr, py::arg("momentum"),
        py::arg("dampening"), weight_decay, py::arg("nesterov"), maximize, ReleaseGil(),
        "One step of stochastic gradient descent for every parameter, in place.");
  m.def("adam_step", &adam_step, params, grads, py::arg("exp_avgs"), py::arg("exp_avg_sqs"), py::arg("max_exp_avg_sqs"),
        py::arg("step"), lr, py::arg("beta1"), py::arg("beta2"), eps, weight_decay, py::arg("decoupled"),
        py::arg("amsgrad"), maximize, ReleaseGil(),
        "One step of Adam, or with decoupled weight decay of AdamW, for every parameter, in place.");
  m.def("rmsprop_step", &rmsprop_step, params, grads, py::arg("square_avgs"), py::arg("momentum_buffers"),
        py::arg("grad_avgs"), lr, py::arg("alpha"), eps, weight_decay, py::arg("momentum"), py::arg("centered"),
        maximize, ReleaseGil(), "One step of RMSprop for every parameter, in place.");
  m.def("adagrad_step", &adagrad_step, params, grads, py::arg("state_sums"), lr, eps, weight_decay, maximize,
        ReleaseGil(), "One step of Adagrad for every parameter, in place.");
  m.def("adadelta_step", &adadelta_step, params, grads, py::arg("square_avgs"), py::arg("acc_deltas"), lr,
        py::arg("rho"), eps, weight_decay, maximize, ReleaseGil(),
        "One step of Adadelta for every parameter, in place.");
}

}  // namespace fnn
