// Watches a step run once: every kernel it starts, every block of memory it takes.
#pragma once

#include <map>
#include <string>
#include <unordered_set>

#include "core/tensor.h"
#include "plan/op.h"

namespace fnn {

// What happens to a leaf's gradient in a step. Where the step first of all clears it, what
// it was before does not matter; elsewhere a replay must find what the recording found.
struct LeafGrad {
  std::weak_ptr<TensorImpl> leaf;
  std::shared_ptr<Storage> before;  // null for no gradient
  bool cleared_first = false;
};

// The elements of memory that x reaches over, and those of them that lie before its first one.
struct Reach {
  int64_t elements, before;
};
Reach reach(const TensorImpl& x);

class Recorder : public Observer {
 public:
  explicit Recorder(const std::vector<Tensor>& arguments);
  ~Recorder() override;

  // What the step is to be called with: copies, so that each has memory of its own.
  const std::vector<Tensor>& inputs() const { return inputs_; }

  void made(const std::shared_ptr<Storage>& s) override {
    made_.push_back(s);
    own_.insert(s.get());
  }
  void used(const std::shared_ptr<Storage>& s) override {
    if (!own_.count(s.get())) used_.emplace(s->data.get(), s);
  }
  void filled(const TensorImpl& x) override;
  void grad(const Tensor& leaf, bool cleared) override;
  [[noreturn]] void refuse(const char* what) override;

  // Where the step runs: on one device.
  Device device() const { return device_; }

  // The recording holds for this step only, as something is made in it once and for all.
  void only_once(const char* why) { only_once_ = why; }

  void add(Op op);

  static Recorder* active() { return static_cast<Recorder*>(observer); }

 private:
  friend class Plan;
  std::vector<Tensor> arguments_, inputs_;
  Device device_;
  std::vector<Op> ops_;
  std::vector<std::shared_ptr<Storage>> made_;      // in the order they were asked for, none of it reused
  std::unordered_set<const Storage*> own_;          // the same
  std::map<void*, std::shared_ptr<Storage>> used_;  // memory of others, by address
  std::map<TensorImpl*, LeafGrad> leaves_;
  std::string only_once_;
};

}  // namespace fnn
