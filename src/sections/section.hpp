#pragma once
#include <toml++/toml.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "headflow/core/snapshot.hpp"
#include "input/input_section.hpp"

namespace headflow {

class Configuration;
class CostReport;
class Run;

/// One section of the input, from its keys to its group of the output: a new computation is a new
/// Section, its pair of files and its line in registry.cpp. Its name is also that of its group, of
/// its state in a checkpoint (NAME_state) and of its PETSc options (-NAME_...).
class Section : public InputSection {
 public:
  void declare_keys(KeyVisitor&) override {}

  /// Completes its keys from those of other sections, checks them and makes its options. Called
  /// once for every section of an input, given or not. Collective. Throws InputError.
  virtual void prepare(Configuration& /*input*/) {}

  /// Whether it computes something without any other section that does. The first one that does is
  /// run where the input has none of them.
  virtual bool stands_alone() const { return false; }
  /// Whether PETSc options with its name as prefix belong to it.
  virtual bool takes_petsc_options() const { return false; }
  /// Throws InputError when one of these has no effect on what it computes, or a wrong value.
  virtual void check_petsc_options() const {}
  /// Some of them, for --help.
  virtual std::vector<std::string> petsc_examples() const { return {}; }
  /// Files that it writes besides the output of that name.
  virtual std::vector<std::string> files(const std::string& /*output*/) const { return {}; }
  /// Throws InputError when it cannot be a member of a sweep, which has one file for all.
  virtual void require_sweepable() const {}
  /// What the user should know of its keys before a run, or nothing.
  virtual std::string warning() const { return {}; }
  /// Prints what it will cost, for `headflow check`.
  virtual void print_cost(CostReport& /*report*/) const {}

  /// The t of a state that it has saved; NaN where that has none.
  virtual double time_of(const Snapshot& state) const {
    return state.has("t") ? state.number("t") : std::nan("");
  }
  /// Puts back what a checkpoint has of it, before any section runs. Collective.
  virtual void resume(Run& /*run*/) {}
  /// Computes, adds its group to the output, prints its summary. Collective. Throws Interrupt when
  /// it was asked to stop, its state saved; NumericalError.
  virtual void run(Run& /*run*/) {}
};

/// Every section that an input may have, in the order in which they run, with its keys.
class Sections {
 public:
  /// With all defaults.
  Sections();
  /// Fills the keys from a parsed input, whose file has that name. Throws InputError.
  void read(const toml::table& table, const std::string& name);

  auto begin() const { return sections_.begin(); }
  auto end() const { return sections_.end(); }
  InputSections views() const { return views_; }

 private:
  std::vector<std::unique_ptr<Section>> sections_;
  std::vector<InputSection*> views_;
};

/// "-flow_", "-saddle_", ..: how PETSc options begin that belong to a section.
std::vector<std::string> petsc_prefixes();
/// Examples of such options.
std::vector<std::string> petsc_examples();
/// Throws InputError for a PETSc option of a section that has no effect: the section is not given,
/// or does not know it. PETSc must have been started.
void check_petsc_options(const Sections& sections);
/// Whether a word of the command line begins so.
bool is_petsc_option(const std::string& word);

}  // namespace headflow
