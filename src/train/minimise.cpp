#include "headflow/train/minimise.hpp"

#include <petsctao.h>

#include <span>

#include "core/callback_guard.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/keys.hpp"
#include "headflow/core/petsc.hpp"

namespace headflow {
namespace {

/// What the callback of Tao needs.
struct Objective {
  PopulationLoss& loss;
  Parameters parameters;
  Control& control;
  SearchLog& log;
  const std::function<void()>& save;
  std::int64_t evaluations = 0;
  CallbackGuard guard{};

  void evaluate(Vec x, double& value, Vec gradient) {
    const Activation activation = loss.model().activation;
    parameters.unpack(activation, read(x));
    const std::size_t size = 1 + parameters.trained_size(activation);
    const std::size_t place = static_cast<std::size_t>(evaluations) * size;
    const bool known = place < log.size();
    if (!known) {
      const LossGradient found = evaluate_or_save();
      log.resize(place + size);
      log[place] = found.loss;
      found.gradient.pack(activation, std::span(log).subspan(place + 1));
    }
    value = log[place];
    write(gradient, std::span(log).subspan(place + 1, size - 1));
    ++evaluations;
    if (!known) answer(control.between_steps());
  }

  LossGradient evaluate_or_save() {
    try {
      return loss.evaluate(parameters, control);
    } catch (const Interrupt&) {
      save();
      throw;
    }
  }

  void answer(Request request) {
    if (request != Request::none) save();
    if (request == Request::stop) throw Interrupt{};
  }
};

PetscErrorCode evaluate(Tao, Vec x, PetscReal* value, Vec gradient, void* context) {
  auto& objective = *static_cast<Objective*>(context);
  return objective.guard.run(PetscErrorCode{PETSC_ERR_USER}, [&] {
    objective.evaluate(x, *value, gradient);
    return PetscErrorCode{0};
  });
}

/// The command line wins; what PETSc refuses there is the user's input.
void set_from_options(Tao tao) {
  try {
    petsc_check(TaoSetFromOptions(tao), "TaoSetFromOptions");
  } catch (const NumericalError& error) {
    throw InputError(error.what());
  }
}

}  // namespace

void MinimiseOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key({"gradient_tolerance", "Euclidean norm of dE/d(K, b, v) at which a search ends"},
              gradient_tolerance, positive);
  visitor.key({"evaluations", "most evaluations of loss and gradient of a search"},
              most_evaluations, {.least = 1, .most = 1e9});
}

Minimum minimise(PopulationLoss& loss, const Parameters& start, const MinimiseOptions& options,
                 Control& control, SearchLog* log, const std::function<void()>& save) {
  const Activation activation = loss.model().activation;
  const std::size_t size = start.trained_size(activation);
  PetscVector x(size);
  std::vector<double> packed(size);
  start.pack(activation, packed);
  write(x.handle(), packed);
  SearchLog own;
  Objective objective{.loss = loss,
                      .parameters = start,
                      .control = control,
                      .log = log != nullptr ? *log : own,
                      .save = save};
  PetscOwner<Tao, TaoDestroy> tao;
  petsc_check(TaoCreate(PETSC_COMM_SELF, tao.receive()), "TaoCreate");
  petsc_check(TaoSetType(tao, TAOLMVM), "TaoSetType");
  petsc_check(TaoSetOptionsPrefix(tao, "train_"), "TaoSetOptionsPrefix");
  petsc_check(TaoSetSolution(tao, x.handle()), "TaoSetSolution");
  petsc_check(TaoSetObjectiveAndGradient(tao, nullptr, evaluate, &objective),
              "TaoSetObjectiveAndGradient");
  petsc_check(TaoSetTolerances(tao, options.gradient_tolerance, 0, 0), "TaoSetTolerances");
  petsc_check(TaoSetMaximumIterations(tao, static_cast<PetscInt>(options.most_evaluations)),
              "TaoSetMaximumIterations");
  petsc_check(
      TaoSetMaximumFunctionEvaluations(tao, static_cast<PetscInt>(options.most_evaluations)),
      "TaoSetMaximumFunctionEvaluations");
  set_from_options(tao);
  const PetscErrorCode code = TaoSolve(tao);
  objective.guard.rethrow();
  petsc_check(code, "TaoSolve");
  require_petsc_options_used("train_");  // some are read by the solver's first step alone

  Minimum found{.parameters = start};
  TaoConvergedReason reason = TAO_CONTINUE_ITERATING;
  PetscReal norm = 0, value = 0;
  petsc_check(TaoGetSolutionStatus(tao, nullptr, &value, &norm, nullptr, nullptr, &reason),
              "TaoGetSolutionStatus");
  found.parameters.unpack(activation, read(x.handle()));
  found.loss = value;
  found.gradient_norm = norm;
  found.evaluations = objective.evaluations;
  found.converged = norm <= options.gradient_tolerance;
  found.reason = TaoConvergedReasons[reason];
  return found;
}

}  // namespace headflow
