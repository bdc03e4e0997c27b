// What a recorder (plan/recorder.h) is told while it watches a step run. Each call costs
// a thread-local load when nobody watches.
#pragma once

#include <memory>

namespace fnn {

struct Storage;
struct TensorImpl;

struct Observer {
  virtual ~Observer() = default;
  virtual void made(const std::shared_ptr<Storage>&) = 0;  // memory allocated
  virtual void used(const std::shared_ptr<Storage>&) = 0;  // its address taken
  virtual void filled(const TensorImpl&) = 0;              // a dense tensor written to, by no kernel
  // The .grad of a leaf read, or, when it is `cleared`, set to None whatever it was.
  virtual void grad(const std::shared_ptr<TensorImpl>& leaf, bool cleared) = 0;
  virtual void refuse(const char* what) = 0;  // raises: `what` cannot be replayed
};

extern thread_local Observer* observer __attribute__((tls_model("initial-exec")));

// Called where Python is about to learn a value, or to bring one in.
inline void refuse_while_recording(const char* what) {
  if (observer) observer->refuse(what);
}

}  // namespace fnn
