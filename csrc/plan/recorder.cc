#include "plan/recorder.h"

namespace fnn {

Recorder::Recorder(const std::vector<Tensor>& inputs) : inputs_(inputs) {
  check<RuntimeError>(observer == nullptr, "compile", "a compiled step cannot be recorded inside another");
  observer = this;
}

Recorder::~Recorder() { observer = nullptr; }

void Recorder::refuse(const char* what) {
  fail<RuntimeError>("compile", what,
                     " is not known when a recorded step runs again. Take it out of the step: pass it in as an "
                     "argument, or return the tensor and look at it afterwards");
}

void Recorder::grad_changes(const Tensor& leaf, bool cleared) {
  const auto [at, first] = leaves_.try_emplace(leaf.get());
  if (first) at->second = {leaf, leaf->grad ? leaf->grad->storage : nullptr, cleared};
}

}  // namespace fnn
