// A plan on a GPU as CUDA graphs. Their kernels look for arguments, and leave results, in places
// that stay; what changes from step to step, learning rates, counters and which rows of the data
// are next, stands in the GPU's memory, so that one start of a graph does several steps.
#pragma once

#include "cuda/step.h"
#include "plan/dense_epoch.h"
#include "plan/plan.h"

namespace fnn {

class Plan::Graphs {
 public:
  // Why a plan's kernels have to be started one by one, or empty.
  static std::string obstacle(const Plan& plan);

  explicit Graphs(Plan& plan);
  ~Graphs();
  Graphs(const Graphs&) = delete;

  // As Plan::run, for these arguments.
  void run(const std::vector<char*>& slots, const std::vector<Tensor>& inputs);
  // As Plan::run_epoch; only `data` of the plan's arguments' own shapes and strides but for the rows.
  EpochResult run_epoch(const std::vector<Tensor>& data, const int64_t* order, int64_t rows, int64_t batch,
                        const Hooks& hooks);
  // What the work of other streams must not be given while it may be in use.
  const std::vector<std::shared_ptr<Storage>>& memory() const { return memory_; }

 private:
  // A check of values, of an argument, which is done before the step begins.
  struct Check {
    Op* op;
    Patch at;
    int64_t bytes;                                                              // that it looks at
    std::map<const char*, std::pair<std::weak_ptr<Storage>, uint32_t>> passed;  // by address; and its version
  };
  struct Graph;
  struct Epoch;

  // An epoch's step that one kernel can repeat by itself, and which arguments the layers and the loss read.
  struct Dense {
    DenseStep step;
    size_t x, target;
  };

  char* place(size_t bytes);
  void find_dense();
  const Graph& graph(int steps);
  void queue_steps(Stream& s, int steps) const;
  StepOutcome outcome() const;
  void launch(int64_t steps);
  int64_t value_bytes() const;
  void take_values(char* to);
  void check_values(const std::vector<char*>& slots, const std::vector<Tensor>& inputs);
  void check_values(const std::vector<const char*>& data, const int64_t* order, int64_t rows, int64_t steps,
                    int64_t batch);
  void launch_steps(const StepState& state, int64_t steps);
  void start(const Epoch& e, int64_t done, int64_t count, const std::function<void(int64_t)>& before);

  Plan& plan_;
  std::optional<Dense> dense_;
  const int together_;  // steps that one graph of an epoch does
  std::vector<std::shared_ptr<Storage>> memory_;
  std::vector<char*> slots_;  // as Plan::run takes them: where the graphs' own are
  std::vector<Check> checks_;
  StepState* state_on_gpu_;  // and the values of one step behind it
  StepBegin begin_{};
  StepEnd end_{};
  std::vector<int64_t> before_;                   // bytes of an argument's memory before its first element
  std::vector<int64_t> value_offsets_;            // by op
  std::vector<char> told_;                        // the values of the steps that are started
  std::map<int, std::unique_ptr<Graph>> graphs_;  // by the steps they do
};

}  // namespace fnn
