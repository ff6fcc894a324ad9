#pragma once
#include <optional>

#include "core/data_file.hpp"
#include "headflow/core/snapshot.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/train/loss_moments.hpp"
#include "headflow/train/minimise.hpp"
#include "sections/section.hpp"

namespace headflow {

/// A search that has ended: where, and the loss there on samples that it was not trained on, twice:
/// to be reported, and to choose the best.
struct FinishedSearch {
  Minimum minimum;
  LossStatistics fresh;
  LossMoments choice;

  double choice_objective() const { return choice.mean + fresh.mean.penalty; }
};

/// Where searches begin.
enum class TrainFrom { search, start, flow };

/// [train]: minimisation of the population loss.
class TrainSection : public Section {
 public:
  const char* name() const override { return "train"; }
  const char* help() const override {
    return "minimisation of the population loss on its fixed samples (PETSc Tao)";
  }
  bool optional() const override { return true; }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;
  bool stands_alone() const override { return true; }
  bool takes_petsc_options() const override { return true; }
  void check_petsc_options() const override { check_minimise_options(); }
  std::vector<std::string> petsc_examples() const override { return {"-train_tao_type bncg"}; }
  void print_cost(CostReport& report) const override;
  void run(Run& run) override;

  /// The searches that have ended, in the order of their starts.
  const std::vector<FinishedSearch>& result() const { return result_; }
  /// The one with the least loss on samples that are neither those of the searches nor those of the
  /// losses that are told.
  std::size_t best() const;

  /// How many starts it searches from.
  std::int64_t starts() const { return starts_; }

 private:
  std::vector<Parameters> random_starts(Configuration& input) const;
  FinishedSearch finished(Run& run, PopulationLoss& fresh, Minimum minimum) const;
  Snapshot state() const;
  void resume_searches(Run& run, PopulationLoss& fresh);
  void search(Run& run, PopulationLoss& fresh);
  void fill_group(Run& run);
  void print() const;
  /// Of a loss that few samples make up.
  void warn_of_few(Run& run, const Sampling& fresh_samples) const;

  MinimiseOptions options_;
  TrainFrom from_ = TrainFrom::search;
  std::int64_t starts_ = 5;
  std::vector<Parameters> first_;  // of each search
  std::vector<FinishedSearch> result_;
  SearchLog log_;  // of the search that is running
  DataGroup* group_ = nullptr;
};

/// The heads that [prune] and [maps] look at: those of [train], or those at the end of [flow].
std::vector<Parameters> heads_of(const Run& run);

/// Throws InputError when there will be none, for the section of that name.
void require_heads(Configuration& input, const char* section);

}  // namespace headflow
