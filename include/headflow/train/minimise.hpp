#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "headflow/core/control.hpp"
#include "headflow/population/population_loss.hpp"

namespace headflow {

class KeyVisitor;

struct MinimiseOptions {
  double gradient_tolerance = 1e-6;  ///< Euclidean norm of dE/d(K, b, v) at which the search ends
  std::int64_t most_evaluations = 20000;

  void declare_keys(KeyVisitor& visitor);
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
/// bits on any number. Collective. Evaluations are added to `log`.
///
/// After each evaluation that is computed control.between_steps() is asked: Request::checkpoint and
/// Request::stop are answered by `save`, and the latter then by an Interrupt. An Interrupt of
/// control.within_step(), asked inside evaluations, comes out after `save`, too.
Minimum minimise(
    PopulationLoss& loss, const Parameters& start, const MinimiseOptions& options,
    Control& control = Control::none(), SearchLog* log = nullptr,
    const std::function<void()>& save = [] {});

}  // namespace headflow
