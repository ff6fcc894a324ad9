#include "headflow/core/petsc.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace headflow {
namespace {

/// PETSc takes names in any case.
std::string in_lower_case(std::string name) {
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

}  // namespace

PetscSession::PetscSession(const std::vector<std::string>& options) {
  std::vector<std::string> words = {"headflow", "-skip_petscrc", "-no_signal_handler",
                                    // From 3.19 on it lists unused ones in the output.
                                    "-options_left", "no"};
  words.insert(words.end(), options.begin(), options.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int argc = static_cast<int>(words.size());
  char** arguments = argv.data();
  // Errors come back as codes and become exceptions; PETSc's own traceback would only bury the
  // message.
  petsc_check(PetscPushErrorHandler(PetscReturnErrorHandler, nullptr), "PetscPushErrorHandler");
  if (PetscInitialize(&argc, &arguments, nullptr, nullptr) != 0) {
    static_cast<void>(PetscPopErrorHandler());
    throw InputError(
        "PETSc cannot read its options, of the command line, PETSC_OPTIONS or a file that "
        "-options_file names there");
  }
  petsc_check(PetscCommDuplicate(PETSC_COMM_SELF, &kept_, nullptr), "PetscCommDuplicate");
}

PetscSession::~PetscSession() {
  if (!unwinding_.now()) {
    static_cast<void>(PetscCommDestroy(&kept_));
    static_cast<void>(PetscFinalize());
  }
  static_cast<void>(PetscPopErrorHandler());
}

void petsc_check(PetscErrorCode code, const char* call) {
  if (code == 0) return;
  const char* text = nullptr;
  char* specific = nullptr;
  static_cast<void>(PetscErrorMessage(code, &text, &specific));
  std::string message = std::string("PETSc: ") + call + " failed";
  if (text != nullptr) message += std::string(": ") + text;
  if (specific != nullptr && *specific != '\0') message += std::string(" (") + specific + ")";
  throw NumericalError(message);
}

void set_petsc_option(const std::string& name, const std::string& value) {
  petsc_check(PetscOptionsSetValue(nullptr, name.c_str(), value.c_str()), "PetscOptionsSetValue");
}

void require_petsc_options_used(const std::string& prefix, const std::string& allowed) {
  PetscInt count = 0;
  char** names = nullptr;
  char** values = nullptr;
  petsc_check(PetscOptionsLeftGet(nullptr, &count, &names, &values), "PetscOptionsLeftGet");
  std::string unused;
  for (PetscInt i = 0; i < count; ++i)
    if (in_lower_case(names[i]).starts_with(prefix)) unused += std::string(" -") + names[i];
  petsc_check(PetscOptionsLeftRestore(nullptr, &count, &names, &values), "PetscOptionsLeftRestore");
  if (!unused.empty())
    throw InputError("no such option of PETSc has an effect here:" + unused +
                     (allowed.empty() ? "" : " (there are " + allowed + ")"));
}

bool PetscOption::only_watches() const {
  static const std::vector<const char*> parts = {"monitor", "view", "converged_reason"};
  static const std::vector<const char*> starts = {
      "-log",          "-info",         "-malloc",   "-memory",       "-options_left",
      "-skip_petscrc", "-no_signal",    "-on_error", "-error_output", "-debug",
      "-start_in",     "-stop_for",     "-help",     "-history",      "-citations",
      "-get_total",    "-objects_dump", "-check",    "-display",      "-fp_trap"};
  return std::any_of(parts.begin(), parts.end(),
                     [&](const char* part) { return name.find(part) != std::string::npos; }) ||
         std::any_of(starts.begin(), starts.end(),
                     [&](const char* start) { return name.starts_with(start); });
}

std::vector<PetscOption> petsc_option_list() {
  std::vector<PetscOption> options;
  std::istringstream words(petsc_options());
  for (std::string word; words >> word;) {
    if (word.size() > 1 && word[0] == '-' && std::isalpha(static_cast<unsigned char>(word[1]))) {
      options.push_back({.name = in_lower_case(word), .value = ""});
    } else if (!options.empty()) {
      auto& value = options.back().value;
      value += (value.empty() ? "" : " ") + word;
    }
  }
  std::sort(options.begin(), options.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return options;
}

std::string deciding_petsc_options() {
  std::string text;
  for (const auto& option : petsc_option_list()) {
    if (option.only_watches()) continue;
    text += (text.empty() ? "" : " ") + option.name;
    if (!option.value.empty()) text += " " + option.value;
  }
  return text;
}

QuietPetsc::QuietPetsc() {
  for (auto& option : petsc_option_list()) {
    if (!option.only_watches()) continue;
    petsc_check(PetscOptionsClearValue(nullptr, option.name.c_str()), "PetscOptionsClearValue");
    hidden_.push_back(std::move(option));
  }
}

QuietPetsc::~QuietPetsc() {
  for (const auto& [name, value] : hidden_)
    static_cast<void>(
        PetscOptionsSetValue(nullptr, name.c_str(), value.empty() ? nullptr : value.c_str()));
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
