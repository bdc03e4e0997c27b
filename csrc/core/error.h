// Errors raised at the boundary: "[operation] what was expected; got the value".
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace fnn {

// The bindings turn each into the Python exception of the same name.
struct ValueError : std::invalid_argument {
  using invalid_argument::invalid_argument;
};
struct TypeError : std::invalid_argument {
  using invalid_argument::invalid_argument;
};
struct IndexError : std::out_of_range {
  using out_of_range::out_of_range;
};
struct RuntimeError : std::runtime_error {
  using runtime_error::runtime_error;
};

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class Error = ValueError, class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail(const char* op, const Parts&... parts) {
  throw Error(text('[', op, "] ", parts...));
}

// The parts are formatted only when the check fails.
template <class Error = ValueError, class... Parts>
void check(bool ok, const char* op, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail<Error>(op, parts...);
}

}  // namespace fnn
