#pragma once
#include <exception>
#include <utility>

namespace headflow {

/// Carries an exception from a callback through a C library, which an exception must not unwind.
/// The callback runs its body in run(); after the library has returned, rethrow() throws what the
/// body threw.
class CallbackGuard {
 public:
  /// The result of `body`, or `failure`, the library's code for an error, when it throws.
  template <class Code, class Body>
  Code run(Code failure, Body&& body) noexcept {
    try {
      return body();
    } catch (...) {
      failure_ = std::current_exception();
      return failure;
    }
  }

  void rethrow() {
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  std::exception_ptr failure_;
};

}  // namespace headflow
