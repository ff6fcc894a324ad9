#pragma once
#include <petscsys.h>
#include <petscvec.h>

#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "headflow/core/error.hpp"

namespace headflow {

static_assert(std::is_same_v<PetscScalar, double>,
              "headflow needs PETSc with real numbers of double precision");

/// PETSc from its start to its end, inside MPI. `options` is a list like {"-flow_ts_adapt_type",
/// "none"}; PETSc adds those of the environment variable PETSC_OPTIONS and of the files that either
/// names (-options_file); no .petscrc is read. Errors of PETSc come back as codes, without its own
/// traceback. Collective, as is the destructor, which leaves PETSc as it is while an exception
/// unwinds.
class PetscSession {
 public:
  /// Throws InputError when PETSc refuses the options.
  explicit PetscSession(const std::vector<std::string>& options = {});
  ~PetscSession();
  PetscSession(const PetscSession&) = delete;
  PetscSession& operator=(const PetscSession&) = delete;

 private:
  Unwinding unwinding_;
  MPI_Comm kept_ =
      MPI_COMM_NULL;  // PETSc makes its copy of MPI_COMM_SELF anew whenever no object has it
};

/// Throws NumericalError with PETSc's text when `code` is not zero.
void petsc_check(PetscErrorCode code, const char* call);

/// Sets one option as if it stood on the command line.
void set_petsc_option(const std::string& name, const std::string& value);

/// Throws InputError naming the options with `prefix` that nothing has read. `allowed` says which
/// may be there.
void require_petsc_options_used(const std::string& prefix, const std::string& allowed = "");

/// One option in PETSc's data base: its name with the dash, in lower case, and its value.
struct PetscOption {
  std::string name, value;
  /// Whether it only shows what is computed (monitors, logs, ..), and changes no number.
  bool only_watches() const;
};

/// Every option in PETSc's data base, wherever it comes from, by name.
std::vector<PetscOption> petsc_option_list();

/// The same as one line.
std::string petsc_options();

/// Those of them that may change numbers, as one line: a part of what identifies a run.
std::string deciding_petsc_options();

/// While it lives PETSc does not see the options that only watch: for trials.
class QuietPetsc {
 public:
  QuietPetsc();
  ~QuietPetsc();
  QuietPetsc(const QuietPetsc&) = delete;
  QuietPetsc& operator=(const QuietPetsc&) = delete;

 private:
  std::vector<PetscOption> hidden_;
};

/// One reference to a PETSc object of this process alone (PETSC_COMM_SELF), or none.
template <class T, PetscErrorCode (*destroy)(T*)>
class PetscOwner {
 public:
  PetscOwner() noexcept = default;
  ~PetscOwner() { static_cast<void>(destroy(&object_)); }
  PetscOwner(PetscOwner&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  PetscOwner& operator=(PetscOwner&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  PetscOwner(const PetscOwner&) = delete;
  PetscOwner& operator=(const PetscOwner&) = delete;

  T handle() const noexcept { return object_; }
  operator T() const noexcept { return object_; }
  /// Where a PETSc function puts the object that it creates; there must be none yet.
  T* receive() noexcept { return &object_; }

 private:
  T object_ = nullptr;
};

/// An owned sequential PETSc vector; the same on every rank.
struct PetscVector : PetscOwner<Vec, VecDestroy> {
  explicit PetscVector(std::size_t size);
};

/// The numbers of a sequential vector.
std::vector<double> read(Vec vec);
/// Writes as many numbers as a sequential vector has.
void write(Vec vec, std::span<const double> values);

}  // namespace headflow
