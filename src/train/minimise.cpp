#include "headflow/train/minimise.hpp"

#include <petsctao.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "core/callback_guard.hpp"
#include "core/normal.hpp"
#include "core/random.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/keys.hpp"
#include "headflow/core/petsc.hpp"

namespace headflow {
namespace {

using TaoOwner = PetscOwner<Tao, TaoDestroy>;
using Evaluate = PetscErrorCode(Tao, Vec, PetscReal*, Vec, void*);

constexpr const char* prefix = "train_";

/// The loss on its samples, with the log of its evaluations.
class LoggedLoss {
 public:
  LoggedLoss(PopulationLoss& loss, const Parameters& start, Control& control, SearchLog& log,
             const std::function<void()>& save)
      : training_(loss.model().training.at_one_rate()),
        loss_(loss),
        control_(control),
        log_(log),
        save_(save),
        size_(1 + start.trained_size(training_)) {
    log_.next = 0;
  }

  /// Objective and packed gradient, from the log where it has them.
  std::span<const double> evaluate(const Parameters& parameters) {
    const std::size_t place = log_.next;
    const bool known = place < log_.numbers.size();
    if (!known) {
      const LossGradient found = evaluate_or_save(parameters);
      log_.numbers.resize(place + size_);
      log_.numbers[place] = found.objective();
      found.gradient.pack(training_, std::span(log_.numbers).subspan(place + 1));
    }
    log_.next += size_;
    ++evaluations_;
    if (!known) answer(control_.between_steps());
    return std::span(log_.numbers).subspan(place, size_);
  }

  /// What is trained, at one rate: minima do not depend on rates.
  const Training& training() const { return training_; }
  double penalty(const Parameters& at) const { return loss_.model().penalty(at.K); }
  std::int64_t evaluations() const { return evaluations_; }

 private:
  LossGradient evaluate_or_save(const Parameters& parameters) {
    try {
      return loss_.evaluate(parameters, control_);
    } catch (const Interrupt&) {
      save_();
      throw;
    }
  }

  void answer(Request request) {
    if (request != Request::none) save_();
    if (request == Request::stop) throw Interrupt{};
  }

  Training training_;
  PopulationLoss& loss_;
  Control& control_;
  SearchLog& log_;
  const std::function<void()>& save_;
  std::size_t size_;
  std::int64_t evaluations_ = 0;
};

/// What the callback of Tao needs.
struct Objective {
  LoggedLoss& loss;
  Parameters parameters;
  CallbackGuard guard{};

  void evaluate(Vec x, double& value, Vec gradient) {
    parameters.unpack(loss.training(), read(x));
    const std::span<const double> found = loss.evaluate(parameters);
    value = found[0];
    write(gradient, found.subspan(1));
  }
};

PetscErrorCode evaluate(Tao, Vec x, PetscReal* value, Vec gradient, void* context) {
  auto& objective = *static_cast<Objective*>(context);
  return objective.guard.run(PetscErrorCode{PETSC_ERR_USER}, [&] {
    objective.evaluate(x, *value, gradient);
    return PetscErrorCode{};
  });
}

/// The command line wins; what PETSc refuses there is the user's input.
void set_from_options(Tao tao) {
  try {
    petsc_check(TaoSetFromOptions(tao), "TaoSetFromOptions");
  } catch (const NumericalError& error) {
    throw InputError(std::string("with the PETSc options -train_.. ") + error.what());
  }
}

TaoOwner make_tao(const MinimiseOptions& options, const PetscVector& x, Evaluate* function,
                  void* context) {
  TaoOwner tao;
  petsc_check(TaoCreate(PETSC_COMM_SELF, tao.receive()), "TaoCreate");
  petsc_check(TaoSetType(tao, TAOLMVM), "TaoSetType");
  petsc_check(TaoSetOptionsPrefix(tao, prefix), "TaoSetOptionsPrefix");
  petsc_check(TaoSetSolution(tao, x.handle()), "TaoSetSolution");
  petsc_check(TaoSetObjectiveAndGradient(tao, nullptr, function, context),
              "TaoSetObjectiveAndGradient");
  petsc_check(TaoSetTolerances(tao, options.gradient_tolerance, 0, 0), "TaoSetTolerances");
  petsc_check(TaoSetMaximumIterations(tao, static_cast<PetscInt>(options.most_evaluations)),
              "TaoSetMaximumIterations");
  petsc_check(
      TaoSetMaximumFunctionEvaluations(tao, static_cast<PetscInt>(options.most_evaluations)),
      "TaoSetMaximumFunctionEvaluations");
  set_from_options(tao);
  return tao;
}

/// |x|^2 + x_1^4, for a trial.
PetscErrorCode bowl(Tao, Vec at, PetscReal* value, Vec gradient, void*) {
  const std::vector<double> x = read(at);
  *value = x[0] * x[0] + x[1] * x[1] + std::pow(x[0], 4);
  const double slope[] = {2 * x[0] + 4 * std::pow(x[0], 3), 2 * x[1]};
  write(gradient, slope);
  return PetscErrorCode{};
}

Minimum descend(LoggedLoss& loss, const Parameters& start, const MinimiseOptions& options) {
  const Training& training = loss.training();
  const std::int64_t before = loss.evaluations();
  const std::size_t size = start.trained_size(training);
  PetscVector x(size);
  std::vector<double> packed(size);
  start.pack(training, packed);
  write(x.handle(), packed);
  Objective objective{.loss = loss, .parameters = start};
  const TaoOwner tao = make_tao(options, x, evaluate, &objective);
  const PetscErrorCode code = TaoSolve(tao);
  objective.guard.rethrow();
  petsc_check(code, "TaoSolve");
  require_petsc_options_used(prefix);  // some are read by the solver's first step alone

  Minimum found{.parameters = start};
  TaoConvergedReason reason = TAO_CONTINUE_ITERATING;
  PetscReal norm = 0, value = 0;
  petsc_check(TaoGetSolutionStatus(tao, nullptr, &value, &norm, nullptr, nullptr, &reason),
              "TaoGetSolutionStatus");
  found.parameters.unpack(training, read(x.handle()));
  found.loss = value - loss.penalty(found.parameters);
  found.gradient_norm = norm;
  found.evaluations = loss.evaluations() - before;
  found.converged = norm <= options.gradient_tolerance;
  found.reason = TaoConvergedReasons[reason];
  return found;
}

/// Under every field and every bias.
constexpr double silence = -1e6;

void silence_head(Parameters& parameters, Eigen::Index h) {
  parameters.K.row(h).setZero();
  parameters.b[h] = silence;
}

/// Silences the `count` heads of `active` that the loss needs least.
void silence_least_needed(LoggedLoss& loss, Parameters& parameters,
                          std::vector<Eigen::Index>& active, std::size_t count) {
  std::vector<std::pair<double, Eigen::Index>> without;
  for (const Eigen::Index h : active) {
    Parameters others = parameters;
    silence_head(others, h);
    without.emplace_back(loss.evaluate(others)[0], h);
  }
  std::sort(without.begin(), without.end());
  for (std::size_t i = 0; i < count; ++i) {
    silence_head(parameters, without[i].second);
    std::erase(active, without[i].second);
  }
}

}  // namespace

void check_minimise_options() {
  const QuietPetsc quiet;
  PetscVector x(2);
  const double start[] = {1.0, 0.5};
  write(x.handle(), start);
  try {
    petsc_check(TaoSolve(make_tao({}, x, bowl, nullptr)), "TaoSolve");
  } catch (const NumericalError& error) {
    throw InputError(std::string("with the PETSc options -train_.. ") + error.what());
  }
  require_petsc_options_used(prefix);
}

void MinimiseOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key(
      {"gradient_tolerance", "Euclidean norm of the gradient in (K, b, v) at which a search ends"},
      gradient_tolerance, positive);
  visitor.key({"evaluations", "limit on the evaluations of loss and gradient in a search"},
              most_evaluations, {.least = 1, .most = 1e9});
}

Minimum minimise(PopulationLoss& loss, const Parameters& start, const MinimiseOptions& options,
                 Control& control, SearchLog* log, const std::function<void()>& save) {
  SearchLog own;
  LoggedLoss logged(loss, start, control, log != nullptr ? *log : own, save);
  return descend(logged, start, options);
}

Minimum minimise_with_fewer_heads(PopulationLoss& loss, const Parameters& start,
                                  const MinimiseOptions& options, Control& control, SearchLog* log,
                                  const std::function<void()>& save) {
  SearchLog own;
  LoggedLoss logged(loss, start, control, log != nullptr ? *log : own, save);
  MinimiseOptions coarse = options;  // enough to tell minima apart
  coarse.gradient_tolerance = std::max(options.gradient_tolerance, 1e-4);
  coarse.most_evaluations = std::min<std::int64_t>(options.most_evaluations, 300);
  const auto objective = [&](const Minimum& one) {
    return one.loss + logged.penalty(one.parameters);
  };
  Minimum best = descend(logged, start, coarse);
  std::vector<Eigen::Index> active;
  for (Eigen::Index h = 0; h < start.b.size(); ++h)
    if (best.parameters.b[h] > silence) active.push_back(h);
  Parameters parameters = best.parameters;
  const bool may_silence = logged.training().k && logged.training().b > 0;
  while (active.size() > 1 && may_silence) {
    silence_least_needed(logged, parameters, active, std::max<std::size_t>(1, active.size() / 8));
    const Minimum one = descend(logged, parameters, coarse);
    parameters = one.parameters;
    if (objective(one) < objective(best)) best = one;
  }
  best = descend(logged, best.parameters, options);
  best.evaluations = logged.evaluations();
  return best;
}

Parameters heads_on_draws(const Shape& shape, const Prior& signal, std::uint64_t seed) {
  const RandomStream stream(seed, Purpose::start);
  Parameters parameters = Parameters::zero(shape);
  parameters.v = 1;
  std::vector<double> u(static_cast<std::size_t>(signal.draw_dimension()));
  std::vector<double> theta(static_cast<std::size_t>(shape.features));
  for (int h = 0; h < shape.heads; ++h) {
    RandomSequence sequence(stream, static_cast<std::uint64_t>(h));
    for (double& value : u) value = sequence.uniform();
    std::vector<double> normals = u;
    normal_quantile(normals);
    signal.draw(u, normals, theta);
    for (int f = 0; f < shape.features; ++f)
      parameters.K(h, f) = theta[static_cast<std::size_t>(f)] + 0.1 * sequence.normal();
    parameters.b[h] = -0.5 * parameters.K.row(h).squaredNorm();
  }
  return parameters;
}

}  // namespace headflow
