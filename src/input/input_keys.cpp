#include "input/input_keys.hpp"

#include "headflow/flow/time_stepper.hpp"
#include "headflow/model/attention.hpp"
#include "sections/named_priors.hpp"

namespace headflow {
namespace {

constexpr Range any{};
constexpr Range positive{.least = 0, .open_below = true};
constexpr Range at_least_zero{.least = 0};
constexpr Range seeds{.least = 0, .most = 9e15};

void visit(ModelKeys& keys, KeyVisitor& visitor) {
  visitor.section("model", "the data: sequences with one relevant token");
  visitor.key({"tokens", "L, tokens in a sequence", true}, keys.tokens, {.least = 2, .most = 4096});
  visitor.key({"features", "F, hidden spikes; may be left out where the prior tells it"},
              keys.features, {.least = 0, .most = 1024});
  visitor.key({"prior", "law of the feature weights theta", true}, keys.prior, prior_names());
  visitor.key({"signal",
               "nu, one or two variances: [nu_1, nu_2] of the flipping spike, [nu_1, nu_F] of the "
               "anisotropic Gaussian (one number: isotropic), nu of the canonical spikes"},
              keys.signal, at_least_zero);
  visitor.key({"atoms", "discrete prior: list of atoms, each a list of F numbers"}, keys.atoms);
  visitor.key({"weights", "discrete prior: probability of each atom, sum one; default equal"},
              keys.weights, at_least_zero);
  visitor.key({"mean", "gaussian prior: F numbers; default 0"}, keys.mean, any);
  visitor.key({"covariance", "gaussian prior: F x F, positive semi-definite"}, keys.covariance);
}

void visit(AttentionKeys& keys, KeyVisitor& visitor) {
  visitor.section("attention", "the model that learns");
  visitor.key({"heads", "H, attention heads", true}, keys.heads, {.least = 1, .most = 1024});
  visitor.key({"activation", "how scores are normalised"}, keys.activation, activation_names());
}

void visit(StartKeys& keys, KeyVisitor& visitor) {
  visitor.section(
      "start",
      "the state at t = 0: one of dimension, noise, m (with r, b, v), file or bayes; default "
      "noise = 0.01");
  visitor.key({"dimension", "D: overlaps of random k_h, k*_f in R^D, drawn from their exact law"},
              keys.dimension, {.least = 2, .most = 1e15});
  visitor.key({"spikes", "with dimension: finite-D Gram matrix of the spikes, or idealised"},
              keys.spikes, {"finite", "orthonormal"});
  visitor.key({"noise", "size of the noise on m and u, r = u u' near eta^2"}, keys.noise,
              at_least_zero);
  visitor.key({"eta", "norm of the heads at the start (dimension, noise)"}, keys.eta,
              at_least_zero);
  visitor.key({"m", "explicit: H x F overlaps with the spikes"}, keys.m);
  visitor.key({"r", "explicit: H x H, positive semi-definite; default 0"}, keys.r);
  visitor.key({"b", "explicit: H biases; default 0"}, keys.b, any);
  visitor.key({"v", "explicit: scale; default 1"}, keys.v, any);
  visitor.key({"file", "last state of another output file"}, keys.file);
  visitor.key(
      {"bayes",
       "the Bayes estimator of a discrete prior, in the heads of Bayes-softmax (Prop. IV.2)"},
      keys.bayes);
  visitor.key({"seed", "of the random start"}, keys.seed, seeds);
}

void visit(PopulationKeys& keys, KeyVisitor& visitor) {
  visitor.section("population", "the expectation over sequences");
  visitor.key(
      {"samples",
       "base samples over all replicates; a multiple of replicates; for sobol best replicates "
       "times a power of two"},
      keys.samples, {.least = 1, .most = 4e9});
  visitor.key({"sampling", "scrambled Sobol points or pseudo-random numbers"}, keys.sampling,
              {"sobol", "monte-carlo"});
  visitor.key({"replicates", "independent sample sets whose spread gives the standard errors"},
              keys.replicates, {.least = 1, .most = 4096});
  visitor.key({"seed", "of the samples"}, keys.seed, seeds);
  visitor.key({"test_samples",
               "fresh samples for trained losses, Bayes risk and pruning; default 4 times samples"},
              keys.test_samples, {.least = 1, .most = 4e9});
  visitor.key({"symmetric", "close the set under cyclic head shifts and the prior's sign flips"},
              keys.symmetric);
  visitor.key({"precision", "of the kernel; sums are exact either way"}, keys.precision,
              {"double", "single"});
  visitor.key(
      {"memory", "GiB a rank may use to keep its samples; else they are regenerated (same bits)"},
      keys.memory, at_least_zero);
  visitor.key(
      {"resample",
       "fresh samples every so many steps; 0: always the same; only with method = \"euler\""},
      keys.resample, at_least_zero);
}

void visit(FlowKeys& keys, KeyVisitor& visitor) {
  visitor.section(
      "flow",
      "the order-parameter flow; runs also without this section if there is no [sgd], [saddle], "
      "[train] or [bayes]",
      &keys.given);
  visitor.key({"end_time", "t at which the flow ends; default that of [sgd], else 200"},
              keys.end_time, positive);
  visitor.key({"method", "explicit PETSc time stepper: 5dp adaptive, euler with a fixed step, .."},
              keys.method, TimeStepper::methods());
  visitor.key({"tolerance", "relative and absolute, of adaptive methods"}, keys.tolerance,
              {.least = 1e-14, .most = 1});
  visitor.key({"step", "first step of adaptive methods, step of the others"}, keys.step, positive);
  visitor.key({"outputs", "number of output times after t = 0"}, keys.outputs,
              {.least = 1, .most = 1000000});
  visitor.key({"spacing", "of the output times; log: from end_time / 10^4"}, keys.spacing,
              {"linear", "log"});
  visitor.key({"output_times", "explicit, increasing; replaces outputs and spacing"},
              keys.output_times, at_least_zero);
  visitor.key({"learning_rate_noise",
               "kappa = learning rate * D / batch of SGD, whose noise drives r; 0: the limit of "
               "many samples; \"from-sgd\": that of [sgd]"},
              keys.learning_rate_noise, at_least_zero, {"from-sgd"});
  visitor.key(
      {"split_threshold",
       "spread of m_{.f} over heads at which feature f counts as split, also of SGD's replicas"},
      keys.split_threshold, positive);
  visitor.key({"stop_gradient_norm", "end when the gradient norm falls under it; 0: never"},
              keys.stop_gradient_norm, at_least_zero);
}

void visit(SgdKeys& keys, KeyVisitor& visitor) {
  visitor.section("sgd", "stochastic gradient descent on fresh sequences in D dimensions",
                  &keys.given);
  visitor.key(
      {"engine",
       "direct: vectors in R^D; overlaps: their overlaps alone, the same law at a cost that "
       "does not depend on D; auto: direct where weights are asked for, else overlaps"},
      keys.engine, {"auto", "direct", "overlaps"});
  visitor.key({"dimension", "D, at least F + 2H + L (engine direct: F + H + L, at most 1e9)", true},
              keys.dimension, {.least = 1, .most = 1e15});
  visitor.key({"batch", "B, sequences in a step", true}, keys.batch, {.least = 1, .most = 4e9});
  visitor.key({"learning_rate", "of k, b and v; time is t = learning rate * steps", true},
              keys.learning_rate, positive);
  visitor.key({"end_time", "t at which SGD ends; or steps; default that of [flow]"}, keys.end_time,
              positive);
  visitor.key({"steps", "number of steps, instead of end_time"}, keys.steps,
              {.least = 1, .most = 9e15});
  visitor.key({"replicas", "independent runs on other sequences"}, keys.replicas,
              {.least = 1, .most = 1e6});
  visitor.key({"starts",
               "shared by all replicas, or each its own: replica i that of start.seed + i - 1 (not "
               "where finite-D spikes differ too: spikes = \"orthonormal\", or noise)"},
              keys.starts, {"shared", "own"});
  visitor.key({"reduction",
               "engine direct, sum of the gradients over ranks: exact (same bits on any number) or "
               "fast (half the "
               "traffic, rounded)"},
              keys.reduction, {"exact", "fast"});
  visitor.key({"outputs", "number of output times after t = 0, each rounded to a whole step"},
              keys.outputs, {.least = 1, .most = 1000000});
  visitor.key({"spacing", "of the output times; log: from end_time / 10^4"}, keys.spacing,
              {"linear", "log"});
  visitor.key({"output_times", "explicit, increasing; replaces outputs and spacing"},
              keys.output_times, at_least_zero);
  visitor.key({"seed", "of the sequences"}, keys.seed, seeds);
  visitor.key(
      {"save_weights", "write all weights and the spikes at the end, to FILE.weights-STEP.h5"},
      keys.save_weights);
  visitor.key({"weights_times", "times at which to write them as well"}, keys.weights_times,
              at_least_zero);
}

void visit(SaddleKeys& keys, KeyVisitor& visitor) {
  visitor.section("saddle",
                  "the unspecialized saddle and its Hessian, how fast and when heads split there, "
                  "and the Hessian at every plateau of [flow]",
                  &keys.given);
  visitor.key({"end_time",
               "t at which the flow on the unspecialized manifold ends at the latest; default that "
               "of [flow]"},
              keys.end_time, positive);
  visitor.key(
      {"gradient_tolerance",
       "gradient norm on the manifold at which it ends; Newton's method goes on from there"},
      keys.gradient_tolerance, positive);
  visitor.key({"dimensions",
               "values of D for which the time of the split is predicted, from random heads of "
               "norm start.eta; default 1e2, 1e4, .., 1e12"},
              keys.dimensions, positive);
}

void visit(TrainKeys& keys, KeyVisitor& visitor) {
  visitor.section("train", "minimisation of the population loss on its fixed samples (PETSc Tao)",
                  &keys.given);
  visitor.key({"from", "start: from [start] with seeds seed, seed + 1, ..; flow: from its end"},
              keys.from, {"start", "flow"});
  visitor.key({"starts", "number of starts"}, keys.starts, {.least = 1, .most = 10000});
  visitor.key({"gradient_tolerance", "Euclidean norm of dE/d(K, b, v) at which a search ends"},
              keys.gradient_tolerance, positive);
  visitor.key({"evaluations", "most evaluations of loss and gradient of a search"},
              keys.evaluations, {.least = 1, .most = 1e9});
}

void visit(BayesKeys& keys, KeyVisitor& visitor) {
  visitor.section("bayes", "the Bayes risk", &keys.given);
  visitor.key({"standard_error", "samples are doubled until it is reached"}, keys.standard_error,
              positive);
  visitor.key({"samples", "the most samples"}, keys.samples, {.least = 1, .most = 4e9});
}

void visit(PruneKeys& keys, KeyVisitor& visitor) {
  visitor.section("prune",
                  "greedy removal of the heads of [train], or of the end of [flow]; no keys",
                  &keys.given);
}

void visit(MapsKeys& keys, KeyVisitor& visitor) {
  visitor.section("maps", "attention of the best heads of [train], or of the end of [flow]",
                  &keys.given);
  visitor.key({"sequences", "number of sequences of the prior"}, keys.sequences,
              {.least = 1, .most = 1e6});
  visitor.key({"seed", "of the sequences"}, keys.seed, seeds);
}

void visit(OutputKeys& keys, KeyVisitor& visitor) {
  visitor.section("output", "the HDF5 file");
  visitor.key({"file", "its name; default: the input's name with .h5, in the working folder"},
              keys.file);
  visitor.key({"every", "seconds of wall time between updates of the file"}, keys.every,
              at_least_zero);
  visitor.key({"checkpoint_every", "seconds of wall time between checkpoints"},
              keys.checkpoint_every, at_least_zero);
  visitor.key({"checkpoints_kept", "how many FILE.checkpoint-N.h5 there are, written in turn"},
              keys.checkpoints_kept, {.least = 1, .most = 100});
}

}  // namespace

void visit_keys(InputKeys& keys, KeyVisitor& visitor) {
  visit(keys.model, visitor);
  visit(keys.attention, visitor);
  visit(keys.start, visitor);
  visit(keys.population, visitor);
  visit(keys.flow, visitor);
  visit(keys.sgd, visitor);
  visit(keys.saddle, visitor);
  visit(keys.train, visitor);
  visit(keys.bayes, visitor);
  visit(keys.prune, visitor);
  visit(keys.maps, visitor);
  visit(keys.output, visitor);
}

}  // namespace headflow
