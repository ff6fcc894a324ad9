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
  double gradient_tolerance = 1e-6;  ///< Euclidean norm of the gradient at which the search ends
  std::int64_t most_evaluations = 20000;

  void declare_keys(KeyVisitor& visitor);
};

/// Throws InputError where PETSc options with the prefix "train_" are wrong or have no effect.
void check_minimise_options();

/// Where a search has ended.
struct Minimum {
  Parameters parameters;
  double loss = 0;  ///< on the samples that were minimised over, without the penalty
  double gradient_norm = 0;
  std::int64_t evaluations = 0;
  bool converged = false;
  std::string reason{};  ///< why it ended, PETSc's word
};

/// What the evaluations of a search have found, one after the other: objective and packed gradient.
/// A
/// search that begins again with the numbers of one that was cut short repeats it without computing
/// anything twice, and goes on with the same bits.
struct SearchLog {
  std::vector<double> numbers;
  std::size_t next = 0;  ///< where the next evaluation of the search that runs is, or will be
};

/// Minimises the population loss on its fixed samples, with the penalty of weight decay, over what
/// what is trained of (K, b, v), from `start`, with PETSc Tao: limited-memory BFGS (TAOLMVM)
/// with the line search of More and Thuente, or what options with the prefix "train_" choose. The
/// same on every rank, with the same bits on any number. Collective. Evaluations are added to
/// `log`.
///
/// After each evaluation that is computed control.between_steps() is asked: Request::checkpoint and
/// Request::stop are answered by `save`, and the latter then by an Interrupt. An Interrupt of
/// control.within_step(), asked inside evaluations, comes out after `save`, too.
Minimum minimise(
    PopulationLoss& loss, const Parameters& start, const MinimiseOptions& options,
    Control& control = Control::none(), SearchLog* log = nullptr,
    const std::function<void()>& save = [] {});

/// Minimises as minimise(), then silences heads one after the other (of n > 8 heads n / 8 at once),
/// each time those without which the loss is least, and minimises again over the others, down to
/// one head: with a gradient tolerance of 1e-4 at least and 300 evaluations at most, but for the
/// least of these minima, which is returned with the evaluations of all. A head is silent with k_h
/// = 0 and a bias far below all fields; where k or b is not trained there are no silent heads.
/// The fewer heads a minimum needs, the more often it is found this way: theory.md,
/// section 13.
Minimum minimise_with_fewer_heads(
    PopulationLoss& loss, const Parameters& start, const MinimiseOptions& options,
    Control& control = Control::none(), SearchLog* log = nullptr,
    const std::function<void()>& save = [] {});

/// Where a search may start beside random heads: every head on a draw of theta from `signal`, as
/// those of the Bayes estimator are (Prop. IV.2): m_h = theta, plus 0.1 N(0,1) for each entry, b_h
/// =
/// -|m_h|^2/2, u = 0, v = 1.
Parameters heads_on_draws(const Shape& shape, const Prior& signal, std::uint64_t seed);

}  // namespace headflow
