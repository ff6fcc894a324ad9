#include "headflow/core/petsc.hpp"

#include <algorithm>

namespace headflow {

PetscSession::PetscSession(const std::vector<std::string>& options) {
  std::vector<std::string> words = {"headflow", "-skip_petscrc", "-no_signal_handler"};
  words.insert(words.end(), options.begin(), options.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int argc = static_cast<int>(words.size());
  char** arguments = argv.data();
  petsc_check(PetscInitialize(&argc, &arguments, nullptr, nullptr), "PetscInitialize");
  // Errors come back as codes and become exceptions; PETSc's own traceback would only bury the
  // message.
  petsc_check(PetscPushErrorHandler(PetscReturnErrorHandler, nullptr), "PetscPushErrorHandler");
}

PetscSession::~PetscSession() {
  if (!unwinding_.now()) PetscFinalize();
}

void petsc_check(PetscErrorCode code, const char* call) {
  if (code == 0) return;
  const char* text = nullptr;
  char* specific = nullptr;
  PetscErrorMessage(code, &text, &specific);
  std::string message = std::string("PETSc: ") + call + " failed";
  if (text != nullptr) message += std::string(": ") + text;
  if (specific != nullptr && *specific != '\0') message += std::string(" (") + specific + ")";
  throw NumericalError(message);
}

void set_petsc_option(const std::string& name, const std::string& value) {
  petsc_check(PetscOptionsSetValue(nullptr, name.c_str(), value.c_str()), "PetscOptionsSetValue");
}

void require_petsc_options_used(const std::string& prefix) {
  PetscInt count = 0;
  char** names = nullptr;
  char** values = nullptr;
  petsc_check(PetscOptionsLeftGet(nullptr, &count, &names, &values), "PetscOptionsLeftGet");
  std::string unused;
  for (PetscInt i = 0; i < count; ++i)
    if (std::string(names[i]).starts_with(prefix)) unused += std::string(" -") + names[i];
  petsc_check(PetscOptionsLeftRestore(nullptr, &count, &names, &values), "PetscOptionsLeftRestore");
  if (!unused.empty())
    throw InputError("PETSc knows no such option here:" + unused +
                     " (options of the flow's time stepper start with -" + prefix + "ts_)");
}

std::string petsc_options() {
  char* text = nullptr;
  petsc_check(PetscOptionsGetAll(nullptr, &text), "PetscOptionsGetAll");
  std::string options = text == nullptr ? "" : text;
  petsc_check(PetscFree(text), "PetscFree");
  return options;
}

PetscVector::PetscVector(std::size_t size) {
  petsc_check(VecCreateSeq(PETSC_COMM_SELF, static_cast<PetscInt>(size), receive()),
              "VecCreateSeq");
}

std::vector<double> read(Vec vec) {
  PetscInt size = 0;
  petsc_check(VecGetLocalSize(vec, &size), "VecGetLocalSize");
  const PetscScalar* data = nullptr;
  petsc_check(VecGetArrayRead(vec, &data), "VecGetArrayRead");
  std::vector<double> values(data, data + size);
  petsc_check(VecRestoreArrayRead(vec, &data), "VecRestoreArrayRead");
  return values;
}

void write(Vec vec, std::span<const double> values) {
  PetscScalar* data = nullptr;
  petsc_check(VecGetArrayWrite(vec, &data), "VecGetArrayWrite");
  std::copy(values.begin(), values.end(), data);
  petsc_check(VecRestoreArrayWrite(vec, &data), "VecRestoreArrayWrite");
}

}  // namespace headflow
