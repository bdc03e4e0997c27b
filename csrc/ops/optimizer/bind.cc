#include "ops/copy/op.h"
#include "plan/launch.h"
#include "python/casters.h"

#include <cmath>

namespace fnn {
namespace {

using Tensors = std::vector<Tensor>;

// The options of all optimizers and the steps done. Python writes here when an option
// changes, so that a recorded step sees it too.
struct Hyper {
  double lr = 0, lr_decay = 0, momentum = 0, dampening = 0, weight_decay = 0, beta1 = 0, beta2 = 0, eps = 0, alpha = 0,
         rho = 0;
  bool nesterov = false, decoupled = false, maximize = false;
  int64_t step = 0;
};
using SharedHyper = std::shared_ptr<Hyper>;

struct State {
  const char* what;
  const Tensors* list;
  bool optional = false;  // may be empty: then the kernel does without
};

// Checks all lists before any parameter changes; then counts the step and launches K for the
// parameters of each dtype, kUpdateTensors at a time. fill(rule, options) prepares a call.
template <class K, template <class> class Args, class F>
void update(const char* op, const Tensors& params, const Tensors& grads, const std::vector<State>& states,
            const SharedHyper& hyper, const F& fill) {
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

  bool first = true;
  const auto update_all = [&]<class T>() {
    Args<T> args;  // of which only the parameters that there are get written
    args.on.count = 0;
    args.rule = {};
    Tensors held;  // gradients that had to be copied
    const auto flush = [&] {
      if (args.on.count == 0) return;
      launch<K>(std::move(args), [fill, hyper, first](Args<T>& a) {
        if (first) ++hyper->step;
        fill(a.rule.value, *hyper);
      });
      args.on.count = 0;
      first = false;
    };
    for (size_t i = 0; i < params.size(); ++i) {
      if (params[i]->dtype != dtype_of<T>::value || params[i]->numel() == 0) continue;
      ++params[i]->storage->version;
      held.push_back(as_strided_like(grads[i], params[i]->strides));
      const int at = args.on.count++;
      args.on.n[at] = params[i]->numel();
      args.on.p[at] = params[i]->template data<T>();
      args.on.grad[at] = held.back()->template data<T>();
      for (size_t k = 0; k < states.size(); ++k)
        args.on.state[at][k] = states[k].list->empty() ? nullptr : (*states[k].list)[i]->template data<T>();
      if (args.on.count == kUpdateTensors) flush();
    }
    flush();
  };
  update_all.template operator()<f32>();
  update_all.template operator()<f64>();
}

// `fresh_buffers` take the gradient itself, undampened.
void sgd_step(const Tensors& p, const Tensors& g, const Tensors& buf, const SharedHyper& hyper, bool fresh_buffers) {
  update<kernel::sgd, SgdArgs>("sgd", p, g, {{"momentum_buffers", &buf, true}}, hyper,
                               [fresh_buffers]<class T>(SgdRule<T>& a, const Hyper& h) {
                                 a.lr = T(h.lr);
                                 a.momentum = T(h.momentum);
                                 a.fresh = fresh_buffers ? T(1) : T(1 - h.dampening);
                                 a.weight_decay = T(h.weight_decay);
                                 a.nesterov = h.nesterov;
                                 a.maximize = h.maximize;
                               });
}

void adam_step(const Tensors& p, const Tensors& g, const Tensors& m, const Tensors& v, const Tensors& v_max,
               const SharedHyper& hyper) {
  update<kernel::adam, AdamArgs>("adam", p, g,
                                 {{"exp_avgs", &m}, {"exp_avg_sqs", &v}, {"max_exp_avg_sqs", &v_max, true}}, hyper,
                                 []<class T>(AdamRule<T>& a, const Hyper& h) {
                                   const double t = static_cast<double>(h.step);
                                   a.beta1 = T(h.beta1);
                                   a.fresh1 = T(1 - h.beta1);
                                   a.beta2 = T(h.beta2);
                                   a.fresh2 = T(1 - h.beta2);
                                   a.eps = T(h.eps);
                                   a.weight_decay = T(h.weight_decay);
                                   a.kept = T(1 - h.lr * h.weight_decay);
                                   a.step_size = T(h.lr / (1 - std::pow(h.beta1, t)));
                                   a.bias2 = T(std::sqrt(1 - std::pow(h.beta2, t)));
                                   a.decoupled = h.decoupled;
                                   a.maximize = h.maximize;
                                 });
}

void rmsprop_step(const Tensors& p, const Tensors& g, const Tensors& s, const Tensors& buf, const Tensors& mean,
                  const SharedHyper& hyper) {
  update<kernel::rmsprop, RmspropArgs>(
      "rmsprop", p, g, {{"square_avgs", &s}, {"momentum_buffers", &buf, true}, {"grad_avgs", &mean, true}}, hyper,
      []<class T>(RmspropRule<T>& a, const Hyper& h) {
        a.lr = T(h.lr);
        a.alpha = T(h.alpha);
        a.fresh = T(1 - h.alpha);
        a.eps = T(h.eps);
        a.weight_decay = T(h.weight_decay);
        a.momentum = T(h.momentum);
        a.maximize = h.maximize;
      });
}

void adagrad_step(const Tensors& p, const Tensors& g, const Tensors& s, const SharedHyper& hyper) {
  update<kernel::adagrad, AdagradArgs>("adagrad", p, g, {{"state_sums", &s}}, hyper,
                                       []<class T>(AdagradRule<T>& a, const Hyper& h) {
                                         a.lr = T(h.lr / (1 + static_cast<double>(h.step - 1) * h.lr_decay));
                                         a.eps = T(h.eps);
                                         a.weight_decay = T(h.weight_decay);
                                         a.maximize = h.maximize;
                                       });
}

void adadelta_step(const Tensors& p, const Tensors& g, const Tensors& s, const Tensors& delta,
                   const SharedHyper& hyper) {
  update<kernel::adadelta, AdadeltaArgs>("adadelta", p, g, {{"square_avgs", &s}, {"acc_deltas", &delta}}, hyper,
                                         []<class T>(AdadeltaRule<T>& a, const Hyper& h) {
                                           a.lr = T(h.lr);
                                           a.rho = T(h.rho);
                                           a.fresh = T(1 - h.rho);
                                           a.eps = T(h.eps);
                                           a.weight_decay = T(h.weight_decay);
                                           a.maximize = h.maximize;
                                         });
}

}  // namespace

void bind_optimizer(Module& m) {
  py::class_<Hyper, SharedHyper>(m, "Hyper", "Options of an optimizer, and the steps done so far.")
      .def(py::init())
      .def_readwrite("lr", &Hyper::lr)
      .def_readwrite("lr_decay", &Hyper::lr_decay)
      .def_readwrite("momentum", &Hyper::momentum)
      .def_readwrite("dampening", &Hyper::dampening)
      .def_readwrite("weight_decay", &Hyper::weight_decay)
      .def_readwrite("beta1", &Hyper::beta1)
      .def_readwrite("beta2", &Hyper::beta2)
      .def_readwrite("eps", &Hyper::eps)
      .def_readwrite("alpha", &Hyper::alpha)
      .def_readwrite("rho", &Hyper::rho)
      .def_readwrite("nesterov", &Hyper::nesterov)
      .def_readwrite("decoupled", &Hyper::decoupled)
      .def_readwrite("maximize", &Hyper::maximize)
      .def_readwrite("step", &Hyper::step);
  const auto params = py::arg("params"), grads = py::arg("grads"), hyper = py::arg("hyper").none(false);
  m.def("sgd_step", &sgd_step, params, grads, py::arg("momentum_buffers"), hyper, py::arg("fresh_buffers") = false,
        ReleaseGil(), "One step of stochastic gradient descent for every parameter, in place.");
  m.def("adam_step", &adam_step, params, grads, py::arg("exp_avgs"), py::arg("exp_avg_sqs"), py::arg("max_exp_avg_sqs"),
        hyper, ReleaseGil(),
        "One step of Adam, or with decoupled weight decay of AdamW, for every parameter, in place. max_exp_avg_sqs is "
        "empty without amsgrad.");
  m.def("rmsprop_step", &rmsprop_step, params, grads, py::arg("square_avgs"), py::arg("momentum_buffers"),
        py::arg("grad_avgs"), hyper, ReleaseGil(),
        "One step of RMSprop for every parameter, in place. grad_avgs is empty unless centered.");
  m.def("adagrad_step", &adagrad_step, params, grads, py::arg("state_sums"), hyper, ReleaseGil(),
        "One step of Adagrad for every parameter, in place.");
  m.def("adadelta_step", &adadelta_step, params, grads, py::arg("square_avgs"), py::arg("acc_deltas"), hyper,
        ReleaseGil(), "One step of Adadelta for every parameter, in place.");
}

}  // namespace fnn
