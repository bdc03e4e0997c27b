// Recording and replaying, as python/fastnn/compile.py uses them.
#include "plan/plan.h"
#include "plan/recorder.h"
#include "ops/copy/op.h"
#include "python/casters.h"

namespace fnn {
namespace {

// The arguments as tensors, or nothing when one is none or asks for a gradient.
bool as_tensors(const py::args& args, std::vector<Tensor>& tensors) {
  tensors.reserve(args.size());
  for (const py::handle arg : args) {
    if (!py::isinstance<TensorImpl>(arg)) return false;
    tensors.push_back(arg.cast<Tensor>());
  }
  return true;
}

// The outputs of a replay, or NotImplemented when the plan is not for these arguments.
py::object call(Plan& plan, const py::args& args) {
  std::vector<Tensor> inputs;
  if (observer || !as_tensors(args, inputs) || !plan.accepts(inputs))
    return py::reinterpret_borrow<py::object>(Py_NotImplemented);
  std::vector<Tensor> outputs;
  {
    const py::gil_scoped_release release;
    outputs = plan.replay(inputs);
  }
  if (outputs.size() == 1) return py::cast(outputs[0]);
  py::tuple result(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) result[i] = outputs[i];
  return result;
}

struct PyRecorder {
  std::unique_ptr<Recorder> recorder;

  // The plan, and the outputs as the caller is to have them.
  py::tuple finish(std::vector<Tensor> outputs, bool keep_grads) {
    auto plan = std::make_unique<Plan>(*recorder, outputs, keep_grads);
    plan->give_away(*recorder, outputs);
    return py::make_tuple(std::move(plan), outputs);
  }
};

py::tuple run_epoch(Plan& plan, const std::vector<Tensor>& data, const std::optional<Tensor>& order, int64_t rows,
                    int64_t batch, int64_t first_step, const py::object& before_step, const py::object& on_step) {
  if (order)
    check((*order)->dtype == DType::i64 && is_contiguous(**order) && (*order)->numel() == rows, "run_epoch",
          "expected order to be ", rows, " contiguous int64 numbers");
  Plan::Hooks hooks;
  if (!before_step.is_none())
    hooks.before = [&](int64_t step) {
      const py::gil_scoped_acquire gil;
      before_step(first_step + step);
    };
  if (!on_step.is_none())
    hooks.after = [&](int64_t step, double loss) {
      const py::gil_scoped_acquire gil;
      on_step(first_step + step, loss);
    };
  hooks.breathe = [] {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  };
  for (const Tensor& x : data)
    check(x->device() == plan.device(), "run_epoch", "the step was recorded on ", name(plan.device()), "; got data on ",
          name(x->device()));
  EpochResult result;
  {
    const py::gil_scoped_release release;
    const Tensor rows_of = order ? on_device(*order, plan.device()) : Tensor();
    result = plan.run_epoch(data, order ? rows_of->data<i64>() : nullptr, rows, batch, hooks);
  }
  return py::make_tuple(result.loss, result.correct, result.steps);
}

}  // namespace

void bind_plan(Module& m) {
  py::class_<Plan>(m, "Plan", "The kernels of a recorded step.")
      .def("__call__", &call)
      .def(
          "profile",
          [](Plan& plan, int repeats, const py::args& args) {
            std::vector<Tensor> inputs;
            check(as_tensors(args, inputs) && plan.accepts(inputs), "compile", "not the arguments of this plan");
            const py::gil_scoped_release release;
            plan.profile(inputs, repeats);
          },
          py::arg("repeats"), "Replays that time every kernel.")
      .def("run_epoch", &run_epoch, py::arg("data"), py::arg("order"), py::arg("rows"), py::arg("batch"),
           py::arg("first_step"), py::arg("before_step"), py::arg("on_step"),
           "(sum of losses, right answers, steps done) of as many whole batches as the plan is right for.")
      .def_property_readonly("correct", &Plan::correct)
      .def_property_readonly("counts_correct", &Plan::counts_correct)
      .def_property_readonly("rows",
                             [](const Plan& plan) {
                               py::list rows;
                               for (const PlanRow& r : plan.rows())
                                 rows.append(py::make_tuple(r.kernel, r.flops, r.bytes, r.seconds));
                               return rows;
                             })
      .def_property_readonly("notes", &Plan::notes)
      .def_property_readonly("arena_bytes", &Plan::arena_bytes)
      .def_property_readonly("bytes_without_reuse", &Plan::bytes_without_reuse)
      .def_property_readonly("only_once", &Plan::only_once);
  py::class_<PyRecorder>(m, "Recorder", "Watches what this thread does until finish() or close().")
      .def(py::init(
               [](const std::vector<Tensor>& arguments) { return PyRecorder{std::make_unique<Recorder>(arguments)}; }),
           py::arg("arguments"))
      .def_property_readonly("inputs", [](const PyRecorder& r) { return r.recorder->inputs(); })
      .def("finish", &PyRecorder::finish, py::arg("outputs"), py::arg("keep_grads"))
      .def("close", [](PyRecorder& r) { r.recorder.reset(); });
  m.def("is_recording", [] { return observer != nullptr; }, "Whether a step of this thread is being recorded.");
  m.def("forget_plans", &forget_plans, "Makes every compiled step record anew.");
  m.def(
      "only_once",
      [](const char* why) {
        if (observer) Recorder::active()->only_once(why);
      },
      py::arg("why"), "While a step is recorded: it does something that only its first run does.");
}

}  // namespace fnn
