// A recorded step, made ready to run again: its kernels fused, its memory laid out in one
// arena, and the pointers that change from call to call known.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "plan/recorder.h"

namespace fnn {

// One kernel of a plan, for people to read.
struct PlanRow {
  std::string kernel;
  double flops, bytes, seconds;  // of one replay; seconds are 0 before profile()
};

struct EpochResult {
  double loss = 0;      // sum over the examples
  int64_t correct = 0;  // of the examples, as far as the loss is a cross-entropy or nll_loss of classes
  int64_t steps = 0;
};

class Plan {
 public:
  // What the recorder saw, ending in `outputs`. With keep_grads the leaves have their
  // gradients after every replay, else the plan is free to do without.
  Plan(Recorder& recorder, const std::vector<Tensor>& outputs, bool keep_grads);
  ~Plan();
  Plan(const Plan&) = delete;

  // Makes the outputs of the recorded step what a replay's are: of arguments they are views.
  void give_away(const Recorder& recorder, std::vector<Tensor>& outputs) const;

  // Whether a replay with these does what the step itself would do.
  bool accepts(const std::vector<Tensor>& inputs) const;
  std::vector<Tensor> replay(const std::vector<Tensor>& inputs);
  // Replays that time every kernel; rows() has the shortest times then.
  void profile(const std::vector<Tensor>& inputs, int repeats);

  // What is called in an epoch; each may throw to end it, and all but `breathe` may be empty.
  struct Hooks {
    std::function<void(int64_t step)> before;  // the values that change are read; a GPU is many steps behind
    std::function<void(int64_t step, double loss)> after;
    std::function<void()> breathe;  // now and then
  };
  // A replay for every whole batch of data[i] (rows, ...), its rows in the given order, or
  // as they lie when `order` is null, for as long as accepts() says so and losses are finite: the
  // first that is not is the last that is counted, though a GPU may be steps ahead.
  EpochResult run_epoch(const std::vector<Tensor>& data, const int64_t* order, int64_t rows, int64_t batch,
                        const Hooks& hooks);

  std::vector<PlanRow> rows() const;
  const std::vector<std::string>& notes() const { return notes_; }
  size_t arena_bytes() const { return arena_bytes_; }
  size_t bytes_without_reuse() const { return made_bytes_; }
  // Whether the loss is a cross-entropy or nll_loss of classes, and the right answers of the last call.
  bool counts_correct() const { return correct_ != nullptr; }
  int64_t correct() const;
  Device device() const { return device_; }
  // Why the plan must not be replayed, or empty.
  const std::string& only_once() const { return only_once_; }

 private:
  struct Patch {
    void** where;
    int slot;  // inputs, then outputs
    int64_t offset;
  };
  struct Output {
    Tensor like;  // what the recorded step returned
    int slot;     // of its memory; -1 where it is somebody else's
    bool copied;  // it is the plan's own, so that a call gives away a copy
  };
  struct Leaf {
    LeafGrad before;
    bool stays;    // .grad is the tensor it was
    Tensor after;  // else what it is set to
  };

  // Has the plan to itself while it lives: it can do one thing at a time.
  class Turn {
   public:
    explicit Turn(Plan& plan);
    ~Turn() { plan_.busy_ = false; }
    Turn(const Turn&) = delete;

   private:
    Plan& plan_;
  };

  bool take_leaves(Recorder&, bool keep_grads);
  void lay_out(Recorder&, const std::vector<Tensor>& outputs);
  void count_correct();
  void plan_graphs();
  void patch(const std::vector<char*>& slots);
  void run(const std::vector<char*>& slots);
  void settle();
  void enter_stream();
  bool as_graphs();

  std::vector<Op> ops_;
  std::vector<double> seconds_;  // by op, once profiled
  bool profiling_ = false;
  std::vector<Tensor> inputs_;  // shapes and types alone matter
  std::vector<Output> outputs_;
  std::vector<size_t> output_bytes_;
  std::vector<Patch> patches_;
  std::vector<Leaf> leaves_;
  std::vector<std::shared_ptr<Storage>> held_;     // memory of others that the kernels use
  std::vector<std::shared_ptr<Storage>> written_;  // and what of it they write
  Device device_;
  std::shared_ptr<Storage> arena_;
  size_t arena_bytes_ = 0, made_bytes_ = 0;
  std::vector<std::string> notes_;
  std::string only_once_;
  uint64_t version_;
  bool grad_enabled_, busy_ = false;
  Tensor correct_;  // (), int64

  // On a GPU: once the kernels have run they become graphs, where that can be.
  class Graphs;
  bool becomes_graphs_ = false, has_run_ = false;
  std::unique_ptr<Graphs> graphs_;
  const Stream* stream_ = nullptr;  // that it ran on last
};

// Ends the life of all plans: something that they took for granted has changed.
void forget_plans();

// The fusion rules (fuse.cc); each thing done or left undone is a line of `notes`.
// memory(p) numbers the block of memory at p, and own(number) says that kernels alone see it.
void fuse(std::vector<Op>& ops, const std::function<int(const void*)>& memory, const std::function<bool(int)>& own,
          std::vector<std::string>& notes);

}  // namespace fnn
