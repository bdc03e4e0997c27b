#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "selftest.h"

namespace fnn::cuda {  // what the runtime of csrc/cuda defines
void check(cudaError_t code, const char* doing) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", doing, cudaGetErrorString(code));
  std::exit(1);
}
}  // namespace fnn::cuda

namespace selftest {

fnn::Stream stream{1, {0}, nullptr};

namespace {

struct Named {
  const char* name;
  void (*body)();
};
std::vector<Named>& cases() {
  static std::vector<Named> all;
  return all;
}
int failures = 0;

}  // namespace

Case::Case(const char* name, void (*body)()) { cases().push_back({name, body}); }

void expect(bool condition, const char* text, const char* file, int line) {
  if (condition) return;
  std::printf("%s:%d: not so: %s\n", file, line, text);
  ++failures;
}

void expect_end(const std::function<void()>& body, const std::string& words, const std::string& or_these) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    body();
    std::_Exit(0);
  }
  close(ends[1]);
  std::string said;
  char part[4096];
  for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) said.append(part, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  const bool found = said.find(words) != std::string::npos || said.find(or_these) != std::string::npos;
  if (status != 0 && found) return;
  std::printf("expected the process to end with \"%s\"; it %s, and said:\n%s\n", words.c_str(),
              status == 0 ? "went on" : "ended", said.c_str());
  ++failures;
}

With::With(const char* name, const std::string& value) : name_(name) {
  if (const char* before = std::getenv(name)) before_ = before;
  setenv(name, value.c_str(), 1);
}
With::~With() {
  if (before_.empty())
    unsetenv(name_);
  else
    setenv(name_, before_.c_str(), 1);
}

}  // namespace selftest

int main() {
  setenv("FASTNN_CUDA_PROTECT", "1", 1);
  for (const auto& c : selftest::cases()) {
    const int before = selftest::failures;
    c.body();
    std::printf("%-40s %s\n", c.name, selftest::failures == before ? "ok" : "FAILED");
  }
  return selftest::failures != 0;
}
