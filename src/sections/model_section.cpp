#include "sections/model_section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

constexpr std::int64_t most_features = 1024;

}  // namespace

/// A prior that the input can name: a new one is one more row of the table below.
struct ModelSection::NamedPrior {
  const char* name;
  std::vector<std::string> keys;  ///< the keys of [model] that belong to it
  /// F as its keys tell it, 0 when they do not; `missing` is then the key that would.
  Eigen::Index (*features)(const ModelSection&);
  const char* missing;
  Prior (*build)(const ModelSection&);
};

const std::vector<ModelSection::NamedPrior>& ModelSection::named_priors() {
  using M = const ModelSection&;
  static const std::vector<NamedPrior> priors = {
      {"flipping-spike",
       {"signal"},
       [](M) -> Eigen::Index { return 2; },
       nullptr,
       [](M model) {
         const auto nu = model.signal(2);
         return flipping_spike(nu.front(), nu.back());
       }},
      {"canonical-spikes",
       {"signal"},
       [](M) -> Eigen::Index { return 0; },
       nullptr,
       [](M model) { return canonical_spikes(model.features(), model.signal(1)[0]); }},
      {"anisotropic-gaussian",
       {"signal"},
       [](M) -> Eigen::Index { return 0; },
       nullptr,
       [](M model) {
         const auto nu = model.signal(2);
         return anisotropic_gaussian(model.features(), nu.front(), nu.back());
       }},
      {"discrete",
       {"atoms", "weights"},
       [](M model) { return model.atoms_ ? model.atoms_->cols() : 0; },
       "atoms",
       [](M model) { return model.discrete(); }},
      {"gaussian",
       {"mean", "covariance"},
       [](M model) { return model.covariance_ ? model.covariance_->cols() : 0; },
       "covariance",
       [](M model) { return model.gaussian(); }}};
  return priors;
}

void ModelSection::declare_keys(KeyVisitor& visitor) {
  Choices names;
  for (const NamedPrior& prior : named_priors()) names.emplace_back(prior.name);
  visitor.key({"tokens", "L, tokens in a sequence", true}, tokens_, {.least = 2, .most = 4096});
  visitor.key({"features", "F, hidden spikes; default: as many as the prior's other keys tell"},
              features_, {.least = 1, .most = most_features});
  visitor.key({"prior", "law of the feature weights theta", true}, name_, names);
  visitor.key({"signal",
               "nu, one or two variances: [nu_1, nu_2] of the flipping spike, [nu_1, nu_F] of the "
               "anisotropic Gaussian (one number: isotropic), nu of the canonical spikes"},
              signal_, at_least_zero);
  visitor.key({"atoms", "discrete prior: list of atoms, each a list of F numbers"}, atoms_);
  visitor.key({"weights", "discrete prior: probability of each atom, sum one; default equal"},
              weights_, at_least_zero);
  visitor.key({"mean", "gaussian prior: F numbers; default 0"}, mean_, any_number);
  visitor.key({"covariance", "gaussian prior: F x F, positive semi-definite"}, covariance_);
}

void ModelSection::prepare(Configuration&) {
  resolve_features();
  prior_ = named_prior().build(*this);
}

const ModelSection::NamedPrior& ModelSection::named_prior() const {
  return *std::find_if(named_priors().begin(), named_priors().end(),
                       [&](const NamedPrior& prior) { return prior.name == name_; });
}

/// F as [model] gives it, or as the prior's keys tell it.
void ModelSection::resolve_features() {
  const NamedPrior& prior = named_prior();
  const Eigen::Index told = prior.features(*this);
  if (told != 0 && features_.value_or(told) != told)
    throw InputError(fmt::format("model.features = {} but prior = \"{}\" has {} features here",
                                 *features_, name_, told));
  const std::pair<const char*, bool> given[] = {{"signal", signal_.has_value()},
                                                {"atoms", atoms_.has_value()},
                                                {"weights", weights_.has_value()},
                                                {"mean", mean_.has_value()},
                                                {"covariance", covariance_.has_value()}};
  for (const auto& [key, present] : given)
    if (present && std::find(prior.keys.begin(), prior.keys.end(), key) == prior.keys.end())
      throw InputError(
          fmt::format("model.{} has no meaning for prior = \"{}\", which uses {}; remove it", key,
                      name_, fmt::join(prior.keys, ", ")));
  if (told == 0 && prior.missing != nullptr)
    throw InputError(fmt::format("model.{} is missing (prior = \"{}\")", prior.missing, name_));
  if (told > most_features)
    throw InputError(fmt::format("model.{} has {} features, at most {} are allowed", prior.missing,
                                 told, most_features));
  if (told != 0) features_ = told;
  if (!features_)
    throw InputError(
        fmt::format("model.features is missing; it must be >= 1 for prior = \"{}\"", name_));
}

/// model.signal with one number, or with up to `most`.
std::vector<double> ModelSection::signal(std::size_t most) const {
  const std::size_t found = signal_ ? signal_->size() : 0;
  if (found < 1 || found > most)
    throw InputError(fmt::format("model.signal must be {} for prior = \"{}\", found {}",
                                 most == 1 ? "one number" : "one or two numbers", name_,
                                 found == 0 ? "none" : std::to_string(found)));
  return *signal_;
}

Prior ModelSection::discrete() const {
  const auto count = atoms_->rows();
  const Vector equal = Vector::Constant(count, 1.0 / static_cast<double>(count));
  return discrete_prior(*atoms_, weights_ ? to_vector(*weights_) : equal);
}

Prior ModelSection::gaussian() const {
  if (covariance_->rows() != features())
    throw InputError(fmt::format("model.covariance must be square, found {} x {}",
                                 covariance_->rows(), covariance_->cols()));
  const Vector mean = mean_ ? to_vector(*mean_) : Vector::Zero(features());
  if (mean.size() != features_)
    throw InputError(
        fmt::format("model.mean must have {} numbers, found {}", features(), mean.size()));
  return gaussian_prior(mean, *covariance_);
}

}  // namespace headflow
