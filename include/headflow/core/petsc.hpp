#pragma once
#include <petscsys.h>
#include <petscvec.h>

#include <span>
#include <string>
#include <vector>

namespace headflow {

/// PETSc from its start to its end, inside MPI. `options` is a list like {"-flow_ts_adapt_type",
/// "none"}; no file or environment variable is read.
class PetscSession {
 public:
  explicit PetscSession(const std::vector<std::string>& options = {});
  ~PetscSession();
  PetscSession(const PetscSession&) = delete;
  PetscSession& operator=(const PetscSession&) = delete;
};

/// Throws NumericalError with PETSc's text when `code` is not zero.
void petsc_check(PetscErrorCode code, const char* call);

/// Sets one option as if it stood on the command line.
void set_petsc_option(const std::string& name, const std::string& value);

/// Throws InputError naming the options with `prefix` that nothing has read.
void require_petsc_options_used(const std::string& prefix);

/// Every option in PETSc's data base, as one line.
std::string petsc_options();

/// An owned sequential PETSc vector; the same on every rank.
class PetscVector {
 public:
  explicit PetscVector(std::size_t size);
  ~PetscVector();
  PetscVector(PetscVector&& other) noexcept;
  PetscVector& operator=(PetscVector&& other) noexcept;
  PetscVector(const PetscVector&) = delete;
  PetscVector& operator=(const PetscVector&) = delete;

  Vec handle() const noexcept { return vec_; }

 private:
  Vec vec_ = nullptr;
};

std::vector<double> read(Vec vec);
void write(Vec vec, std::span<const double> values);

}  // namespace headflow
