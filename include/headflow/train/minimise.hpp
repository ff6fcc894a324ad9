#pragma once
#include <functional>
#include <string>
#include <vector>

#include "headflow/core/snapshot.hpp"
#include "headflow/population/population_loss.hpp"

namespace headflow {

struct MinimiseOptions {
  double gradient_tolerance = 1e-6;  ///< Euclidean norm of dE/d(K, b, v) at which the search ends
  std::int64_t most_evaluations = 20000;
};

/// Where a search has ended.
struct Minimum {
  Parameters parameters;
  double loss = 0;  ///< on the samples that were minimised over
  double gradient_norm = 0;
  std::int64_t evaluations = 0;
  bool converged = false;
  std::string reason{};  ///< why it ended, PETSc's word
};

/// What the evaluations of a search have found, one after the other: loss and packed gradient. A
/// search that begins again with the log of one that was cut short repeats it without computing
/// anything twice, and goes on with the same bits.
using SearchLog = std::vector<double>;

/// Minimises the population loss on its fixed samples over what the activation trains of (K, b, v),
/// from `start`, with PETSc Tao: limited-memory BFGS (TAOLMVM) with the line search of More and
/// Thuente, or what options with the prefix "train_" choose. The same on every rank, with the same
/// bits on any number. Collective. Evaluations are added to `log`; `poll` is called after each that
/// is computed and may throw.
Minimum minimise(PopulationLoss& loss, const Parameters& start, const MinimiseOptions& options,
                 const std::function<void(std::int64_t evaluations, double loss)>& poll = nullptr,
                 SearchLog* log = nullptr);

}  // namespace headflow
