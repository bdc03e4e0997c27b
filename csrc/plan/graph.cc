#include "plan/graph.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "plan/launch.h"

namespace fnn {
namespace {

// Of a graph for epochs: it pays to start several steps at once, as long as they are short.
constexpr int64_t kMostSteps = 16, kMostKernels = 512;

// On the stream that this thread works on.
class Event {
 public:
  explicit Event(int gpu) : e_(on_gpu("compile", [&](const CudaBackend& b) { return b.make_event(gpu, false); })) {}
  ~Event() {
    try {
      backend().drop_event(e_);
    } catch (...) {  // of a context that is lost
    }
  }
  void record() const {
    on_gpu("compile", [&](const CudaBackend& b) { b.record(e_, *gpu_stream); });
  }
  void wait() const {
    on_gpu("compile", [&](const CudaBackend& b) { b.synchronize_event(e_); });
  }

 private:
  void* e_;
};

}  // namespace

struct Plan::Graphs::Graph {
  void* const graph;

  explicit Graph(void* made) : graph(made) {}
  Graph(const Graph&) = delete;
  ~Graph() {
    try {
      backend().drop_graph(graph);
    } catch (const std::exception&) {  // of a process that was forked, where it means nothing
    }
  }
};

std::string Plan::Graphs::obstacle(const Plan& plan) {
  constexpr size_t kMost = kStepArrays, kMostBytes = size_t{64} << 20;
  if (plan.inputs_.size() > kMost || plan.output_bytes_.size() > kMost)
    return text("the step has more than ", kMost, " arguments or results");
  size_t bytes = 0;
  for (const Tensor& x : plan.inputs_) bytes += static_cast<size_t>(reach(*x).elements) * itemsize(x->dtype);
  for (const size_t result : plan.output_bytes_) bytes += result;
  if (bytes > kMostBytes) return text("it would copy ", bytes, " bytes of arguments and results");
  for (const Op& op : plan.ops_) {
    if (!op.info->check) continue;
    const std::vector<Access> read = op.accesses();
    const bool argument = std::any_of(plan.patches_.begin(), plan.patches_.end(), [&](const Patch& p) {
      return !read.empty() && p.where == read[0].pointer && static_cast<size_t>(p.slot) < plan.inputs_.size();
    });
    if (!argument && !read.empty())
      return "values that the step computes are checked on the way; int64 targets are not";
  }
  return "";
}

Plan::Graphs::Graphs(Plan& plan)
    : plan_(plan),
      together_(static_cast<int>(
          std::clamp(kMostKernels / static_cast<int64_t>(plan.ops_.size() + 1), int64_t{1}, kMostSteps))) {
  for (const Tensor& x : plan.inputs_) {
    const auto size = static_cast<int64_t>(itemsize(x->dtype));
    const int64_t bytes = reach(*x).elements * size, before = reach(*x).before * size;
    const bool rows = x->ndim() > 0 && is_contiguous(*x) && x->shape[0] > 0;
    const int i = begin_.arrays++;
    begin_.to[i] = place(static_cast<size_t>(bytes));
    begin_.rows[i] = rows ? x->shape[0] : 1;
    begin_.row_bytes[i] = bytes / begin_.rows[i];
    before_.push_back(before);
    slots_.push_back(begin_.to[i] + before);
  }
  for (const size_t bytes : plan.output_bytes_) {
    const int i = end_.arrays++;
    slots_.push_back(place(bytes));
    end_.from[i] = slots_.back();
    end_.bytes[i] = static_cast<int64_t>(bytes);
  }
  for (Op& op : plan.ops_) {
    value_offsets_.push_back(begin_.value_bytes);
    begin_.value_bytes += static_cast<int64_t>(op.changes.bytes + 15) / 16 * 16;
    if (!op.info->check) continue;
    for (const Access& a : op.accesses())
      for (const Patch& p : plan.patches_)
        if (p.where == a.pointer) checks_.push_back({&op, p, a.bytes, {}});
  }
  begin_.values = place(static_cast<size_t>(begin_.value_bytes));
  state_on_gpu_ = reinterpret_cast<StepState*>(place(sizeof(StepState) + static_cast<size_t>(begin_.value_bytes)));
  begin_.state = end_.state = state_on_gpu_;
  find_dense();
}

Plan::Graphs::~Graphs() = default;

void Plan::Graphs::find_dense() {
  plan_.patch(slots_);
  const char* why_not = nullptr;
  std::optional<DenseStep> step = find_dense_step(plan_.ops_, why_not);
  if (step) {
    const auto argument = [&](const void* p) {
      return static_cast<size_t>(std::find(slots_.begin(), slots_.end(), p) - slots_.begin());
    };
    const size_t x = argument(step->x), target = argument(step->target), inputs = plan_.inputs_.size();
    const DenseEpochArgs& a = step->args;
    if (x < inputs && target < inputs && begin_.rows[x] == a.batch && begin_.rows[target] == a.batch &&
        begin_.row_bytes[x] == a.in * static_cast<int64_t>(sizeof(f32)) &&
        outcome().loss == reinterpret_cast<const char*>(step->loss)) {
      why_not = on_gpu("run_epoch", [&](const CudaBackend& b) { return b.why_not_dense_epoch(a, plan_.device_.gpu); });
      if (!why_not) dense_ = Dense{*step, x, target};
    } else {
      why_not = "the layers, the loss and the result are not of the step's own arguments";
    }
  }
  plan_.notes_.push_back(dense_ ? "epochs are run by one kernel" : text("epochs are not run by one kernel: ", why_not));
}

char* Plan::Graphs::place(size_t bytes) {
  memory_.push_back(new_storage(bytes));
  return static_cast<char*>(memory_.back()->data.get());
}

// --- graphs --------------------------------------------------------------------------------

StepOutcome Plan::Graphs::outcome() const {
  StepOutcome found{};
  if (plan_.correct_) found.correct = plan_.correct_->data<i64>();
  if (plan_.outputs_.empty()) return found;
  const Output& loss = plan_.outputs_[0];
  if (!is_floating(loss.like->dtype) || loss.like->numel() != 1) return found;
  const auto size = static_cast<int64_t>(itemsize(loss.like->dtype));
  found.loss = loss.slot >= 0 ? slots_[static_cast<size_t>(loss.slot)] + loss.like->offset * size
                              : static_cast<const char*>(loss.like->raw());
  found.loss_bytes = static_cast<int>(size);
  return found;
}

void Plan::Graphs::queue_steps(Stream& s, int steps) const {
  for (int i = 0; i < steps; ++i) {
    StepBegin begin = begin_;
    begin.number = i;
    begin.before = outcome();
    on_gpu("compile", [&](const CudaBackend& b) { b.begin_step(s, begin); });
    for (const Op& op : plan_.ops_)
      if (!op.info->check) op.info->run(s, op.args.get());
  }
  StepEnd end = end_;
  end.steps = steps;
  end.last = outcome();
  on_gpu("compile", [&](const CudaBackend& b) { b.end_step(s, end); });
}

const Plan::Graphs::Graph& Plan::Graphs::graph(int steps) {
  std::unique_ptr<Graph>& found = graphs_[steps];
  if (found) return *found;
  plan_.patch(slots_);
  struct Point {  // the kernels that they record to the GPU's memory
    std::vector<Op>& ops;
    Point(std::vector<Op>& ops_, const char* values, const std::vector<int64_t>& offsets) : ops(ops_) {
      for (size_t k = 0; k < ops.size(); ++k)
        if (ops[k].changes.bytes > 0) *ops[k].changes.on_gpu = values + offsets[k];
    }
    ~Point() {
      for (Op& op : ops)
        if (op.changes.bytes > 0) *op.changes.on_gpu = nullptr;
    }
  } point(plan_.ops_, begin_.values, value_offsets_);
  found = on_gpu("compile", [&](const CudaBackend& b) {
    return std::make_unique<Graph>(b.make_graph(plan_.device_.gpu, [&](Stream& s) { queue_steps(s, steps); }));
  });
  return *found;
}

void Plan::Graphs::launch(int64_t steps) {
  const Stream& stream = active_stream();
  for (int64_t left = steps; left > 0;) {
    const int at_once = left >= together_ ? together_ : 1;
    const Graph& g = graph(at_once);
    on_gpu("compile", [&](const CudaBackend& b) { b.launch_graph(g.graph, stream); });
    left -= at_once;
  }
}

// --- what they are told ----------------------------------------------------------------------

int64_t Plan::Graphs::value_bytes() const {
  return dense_ ? static_cast<int64_t>(dense_->step.rule_bytes()) : begin_.value_bytes;
}

// Lets the slots say what the next step's values are.
void Plan::Graphs::take_values(char* to) {
  for (size_t k = 0; k < plan_.ops_.size(); ++k) {
    const Op& op = plan_.ops_[k];
    if (op.slot) op.slot(op.args.get());
    if (op.changes.bytes > 0) std::memcpy(to + value_offsets_[k], op.changes.value, op.changes.bytes);
  }
}

// The CPU waits for the answer, unless these very values have passed before.
void Plan::Graphs::check_values(const std::vector<char*>& slots, const std::vector<Tensor>& inputs) {
  constexpr size_t kRemembered = 4096;
  for (Check& check : checks_) {
    const auto slot = static_cast<size_t>(check.at.slot);
    const std::shared_ptr<Storage>& storage = inputs[slot]->storage;
    char* const at = slots[slot] + check.at.offset;
    const auto found = check.passed.find(at);
    if (found != check.passed.end() && found->second.first.lock() == storage &&
        found->second.second == storage->version && !storage->shared)
      continue;
    *check.at.where = at;
    check.op->info->run(active_stream(), check.op->args.get());
    if (check.passed.size() >= kRemembered) check.passed.clear();
    check.passed[at] = {storage, storage->version};
  }
}

// Of the next `steps` steps.
void Plan::Graphs::check_values(const std::vector<const char*>& data, const int64_t* order, int64_t rows, int64_t steps,
                                int64_t batch) {
  for (const Check& check : checks_) {
    const auto slot = static_cast<size_t>(check.at.slot);
    const int64_t row_bytes = begin_.row_bytes[slot], step_bytes = batch * row_bytes;
    const char* first = data[slot];
    std::shared_ptr<Storage> gathered;
    if (order) {
      gathered = new_storage(static_cast<size_t>(steps * step_bytes));
      auto* to = static_cast<u8*>(gathered->data.get());
      kernel::gather_rows::run(active_stream(), GatherRowsArgs<u8>{reinterpret_cast<const u8*>(first), order, to, rows,
                                                                   steps * batch, row_bytes});
      first = reinterpret_cast<const char*>(to);
    }
    const bool whole = check.bytes == step_bytes;
    int64_t& count = *check.op->info->count(check.op->args.get());
    const int64_t of_step = count;
    if (whole) count *= steps;
    for (int64_t i = 0; i < (whole ? 1 : steps); ++i) {
      *check.at.where = const_cast<char*>(first) + i * step_bytes + check.at.offset;
      try {
        check.op->info->run(active_stream(), check.op->args.get());
      } catch (...) {
        count = of_step;
        throw;
      }
    }
    count = of_step;
  }
}

void Plan::Graphs::run(const std::vector<char*>& slots, const std::vector<Tensor>& inputs) {
  check_values(slots, inputs);
  std::vector<char> told(sizeof(StepState) + static_cast<size_t>(begin_.value_bytes));
  StepState state{};
  for (size_t i = 0; i < slots.size(); ++i)
    if (i < inputs.size())
      state.data[i] = slots[i] - before_[i];
    else
      state.results[i - inputs.size()] = slots[i];
  state.values = reinterpret_cast<const char*>(state_on_gpu_ + 1);
  graph(1);  // before anything has changed
  std::memcpy(told.data(), &state, sizeof state);
  take_values(told.data() + sizeof state);
  upload(state_on_gpu_, told.data(), told.size());
  launch(1);
}

// --- epochs ------------------------------------------------------------------------------------

struct Plan::Graphs::Epoch {
  const int64_t* order;  // or null
  int64_t rows, batch;   // rows that there are to choose from
  std::vector<const char*> data;
  std::shared_ptr<Storage> losses, correct;  // (steps) each
};

void Plan::Graphs::launch_steps(const StepState& state, int64_t steps) {
  if (!dense_) {
    upload(state_on_gpu_, &state, sizeof state);
    return launch(steps);
  }
  DenseEpochArgs args = dense_->step.args;
  args.steps = static_cast<int>(steps);
  args.x = reinterpret_cast<const f32*>(state.data[dense_->x]);
  args.target = reinterpret_cast<const i64*>(state.data[dense_->target]);
  args.order = state.order;
  args.rules = state.values;
  args.losses = reinterpret_cast<f32*>(state.losses);
  args.correct = state.correct;
  on_gpu("run_epoch", [&](const CudaBackend& b) { b.dense_epoch(active_stream(), args); });
}

// The next `count` steps after `done`. Where the values of one are wrong, or `before` throws, those
// before it, and then that is thrown.
void Plan::Graphs::start(const Epoch& e, int64_t done, int64_t count, const std::function<void(int64_t)>& before) {
  const Turn turn(plan_);
  const auto data_at = [&](int64_t step) {
    std::vector<const char*> data = e.data;
    for (size_t i = 0; i < data.size() && !e.order; ++i) data[i] += step * e.batch * begin_.row_bytes[i];
    return data;
  };
  const auto order_at = [&](int64_t step) { return e.order ? e.order + step * e.batch : nullptr; };
  const auto check_steps = [&](int64_t from, int64_t n) {
    check_values(data_at(from), order_at(from), e.rows, n, e.batch);
  };
  std::exception_ptr raised;
  try {
    check_steps(done, count);
  } catch (...) {
    raised = std::current_exception();
    int64_t good = 0;
    try {
      while (good < count - 1) check_steps(done + good, 1), ++good;
    } catch (...) {
      raised = std::current_exception();
    }
    count = good;
  }
  StepState state{};
  state.order = order_at(done);
  const std::vector<const char*> data = data_at(done);
  std::copy(data.begin(), data.end(), state.data);
  if (!dense_) graph(1), graph(count >= together_ ? together_ : 1);  // before anything has changed

  told_.resize(static_cast<size_t>(count * value_bytes()));
  for (int64_t i = 0; i < count; ++i) {
    try {
      if (before) before(done + i);
    } catch (...) {
      raised = std::current_exception();
      count = i;
      break;
    }
    char* const to = told_.data() + i * value_bytes();
    dense_ ? dense_->step.next_rule(to) : take_values(to);
  }
  const auto values = new_storage(told_.size());
  state.values = static_cast<const char*>(values->data.get());
  state.losses = static_cast<char*>(e.losses->data.get()) + done * outcome().loss_bytes;
  if (e.correct) state.correct = static_cast<int64_t*>(e.correct->data.get()) + done;
  upload(values->data.get(), told_.data(), told_.size());
  if (count > 0) launch_steps(state, count);
  plan_.settle();
  if (raised) std::rethrow_exception(raised);
}

EpochResult Plan::Graphs::run_epoch(const std::vector<Tensor>& data, const int64_t* order, int64_t rows, int64_t batch,
                                    const Hooks& hooks) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kLong = std::chrono::milliseconds(20);
  constexpr int64_t kMostAhead = 1024;
  const int64_t steps = rows / batch;
  const StepOutcome of = outcome();
  const auto loss_bytes = static_cast<size_t>(of.loss_bytes);
  Epoch e{order, data[0]->shape[0], batch, {}, new_storage(static_cast<size_t>(steps) * loss_bytes), nullptr};
  if (of.correct) e.correct = new_storage(static_cast<size_t>(steps) * sizeof(int64_t));
  std::vector<Tensor> like;  // a step's arguments
  for (const Tensor& x : data) {
    Dims shape = x->shape;
    shape[0] = batch;
    like.push_back(alias(x, shape, x->strides, x->offset));
    e.data.push_back(static_cast<const char*>(x->raw()));
  }
  const auto number = [&](const char* loss) {
    double wide;
    float narrow;
    if (loss_bytes == sizeof wide) return std::memcpy(&wide, loss, sizeof wide), wide;
    return std::memcpy(&narrow, loss, sizeof narrow), static_cast<double>(narrow);
  };

  // The CPU is up to two chunks ahead: long ones where steps are short.
  EpochResult result;
  int64_t chunk = hooks.after ? 1 : together_;
  const Event chunk_done(plan_.device_.gpu);
  while (result.steps < steps && plan_.accepts(like)) {
    const int64_t done = result.steps, count = std::min(chunk, steps - done);
    start(e, done, count, hooks.before);
    result.steps += count;
    if (hooks.after) {
      char loss[sizeof(double)];
      download(loss, static_cast<char*>(e.losses->data.get()) + done * of.loss_bytes, loss_bytes);
      hooks.after(done, number(loss));
    }
    const auto before = Clock::now();
    if (done > 0) chunk_done.wait();
    chunk_done.record();
    hooks.breathe();
    if (!hooks.after) chunk = Clock::now() - before < kLong ? std::min(2 * chunk, kMostAhead) : together_;
  }
  if (result.steps == 0) return result;

  std::vector<char> losses(static_cast<size_t>(result.steps) * loss_bytes);
  download(losses.data(), e.losses->data.get(), losses.size());
  for (int64_t i = 0; i < result.steps; ++i) {
    result.loss += number(losses.data() + i * of.loss_bytes) * static_cast<double>(batch);
    if (!std::isfinite(result.loss)) result.steps = i + 1;
  }
  if (!e.correct) return result;
  std::vector<int64_t> correct(static_cast<size_t>(result.steps));
  download(correct.data(), e.correct->data.get(), correct.size() * sizeof(int64_t));
  for (const int64_t n : correct) result.correct += n;
  return result;
}

}  // namespace fnn
