#pragma once
#include <exception>
#include <stdexcept>
#include <string>

namespace headflow {

/// What the program tells the shell; 75 means resubmit.
enum class ExitCode {
  finished = 0,
  bad_input = 2,
  numerical_failure = 3,
  file_failure = 4,
  stopped_early = 75
};

/// An error that ends the run: one message for the user and the exit code that goes with it.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// The user's input cannot be run: what was found, what is allowed, where.
struct InputError : Error {
  explicit InputError(const std::string& message) : Error(ExitCode::bad_input, message) {}
};

/// The computation left the numbers it can represent.
struct NumericalError : Error {
  explicit NumericalError(const std::string& message)
      : Error(ExitCode::numerical_failure, message) {}
};

/// A file could not be read or written; the message names it.
struct FileError : Error {
  explicit FileError(const std::string& message) : Error(ExitCode::file_failure, message) {}
};

/// Tells the destructor of its owner whether an exception ends the owner's life. Clean-up that is
/// collective or waits for another rank must be skipped then: one rank alone may have failed, and
/// the others would never come to theirs. The program is about to end anyway.
class Unwinding {
 public:
  bool now() const noexcept { return std::uncaught_exceptions() > before_; }

 private:
  int before_ = std::uncaught_exceptions();
};

}  // namespace headflow
