#include "sections/model_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

constexpr std::int64_t most_features = 1024;

using Kind = FeatureLaw::Kind;
const std::vector<std::pair<std::string, Kind>> feature_laws = {{"signs", Kind::signs},
                                                                {"gaussian", Kind::gaussian},
                                                                {"uniform", Kind::uniform},
                                                                {"sparse", Kind::sparse}};

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
       [](M model) -> Eigen::Index { return model.signal(1), 0; },
       nullptr,
       [](M model) { return canonical_spikes(model.features(), model.signal(1)[0]); }},
      {"anisotropic-gaussian",
       {"signal"},
       [](M model) -> Eigen::Index { return model.signal(2), 0; },
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
       [](M model) { return model.gaussian(); }},
      {"mixture",
       {"weights", "means", "covariances"},
       [](M model) { return model.means_ ? model.means_->cols() : 0; },
       "means",
       [](M model) { return model.mixture(); }},
      {"product",
       {"laws", "signal", "density", "mean"},
       [](M model) { return model.features_of_product(); },
       nullptr,
       [](M model) { return model.product(); }}};
  return priors;
}

void ModelSection::declare_keys(KeyVisitor& visitor) {
  Choices names;
  for (const NamedPrior& prior : named_priors()) names.emplace_back(prior.name);
  visitor.key({"tokens", "L, tokens in a sequence", true}, tokens_, {.least = 2, .most = 4096});
  visitor.key(
      {"features", "F, hidden spikes; default: the number that the prior's other keys imply"},
      features_, {.least = 1, .most = most_features});
  visitor.key({"prior", "law of the feature weights theta", true}, name_, names);
  visitor.key({"signal",
               "nu, one or two variances: [nu_1, nu_2] of the flipping spike (nu_1 is the square "
               "of a constant), [nu_1, nu_F] of the anisotropic Gaussian (evenly spaced between; "
               "one number: isotropic), nu of the canonical spikes; product prior: the variance of "
               "each feature about its mean, or one number for all"},
              signal_, at_least_zero);
  visitor.key({"atoms", "discrete prior: list of atoms, each a list of F numbers"}, atoms_);
  visitor.key({"weights",
               "discrete and mixture prior: probability of each atom or component; they sum to "
               "one; default: equal"},
              weights_, at_least_zero);
  visitor.key({"mean", "gaussian and product prior: F numbers; default 0"}, mean_, any_number);
  visitor.key({"covariance", "gaussian prior: F x F, positive semi-definite"}, covariance_);
  visitor.key({"means", "mixture prior: the mean of each component, each a list of F numbers"},
              means_);
  visitor.key({"covariances",
               "mixture prior: the covariance of each component, F x F, positive semi-definite; "
               "zeros make it an atom"},
              covariances_);
  Choices laws;
  for (const auto& [name, kind] : feature_laws) laws.push_back(name);
  visitor.words({"laws",
                 "product prior: the law of each feature about its mean, or one for all; sparse is "
                 "a Gaussian with probability density, else zero"},
                laws_, laws);
  visitor.key({"density",
               "product prior: probability that a sparse feature is not zero, for each feature, or "
               "one number for all"},
              density_, {.least = 0, .most = 1, .open_below = true});
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
  const std::pair<const char*, bool> given[] = {
      {"signal", signal_.has_value()},           {"atoms", atoms_.has_value()},
      {"weights", weights_.has_value()},         {"mean", mean_.has_value()},
      {"covariance", covariance_.has_value()},   {"means", means_.has_value()},
      {"covariances", covariances_.has_value()}, {"laws", laws_.has_value()},
      {"density", density_.has_value()}};
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
    throw InputError(
        fmt::format("model.signal must be {} for prior = \"{}\", found {}{}",
                    most == 1 ? "one number" : "one or two numbers", name_,
                    found == 0 ? "none" : std::to_string(found),
                    found == 0 ? "" : " (prior = \"product\" takes one for each feature)"));
  return *signal_;
}

/// model.weights, or equal ones.
Vector ModelSection::probabilities(Eigen::Index count) const {
  return weights_ ? to_vector(*weights_)
                  : Vector::Constant(count, 1.0 / static_cast<double>(count));
}

/// model.mean, or zeros.
Vector ModelSection::mean() const {
  Vector mean = mean_ ? to_vector(*mean_) : Vector::Zero(features());
  if (mean.size() != features_)
    throw InputError(
        fmt::format("model.mean must have {} numbers, found {}", features(), mean.size()));
  return mean;
}

Prior ModelSection::discrete() const {
  return discrete_prior(*atoms_, probabilities(atoms_->rows()));
}

Prior ModelSection::gaussian() const {
  if (covariance_->rows() != features())
    throw InputError(fmt::format("model.covariance must be square, found {} x {}",
                                 covariance_->rows(), covariance_->cols()));
  return gaussian_prior(mean(), *covariance_);
}

Prior ModelSection::mixture() const {
  if (!covariances_) throw InputError("model.covariances is missing (prior = \"mixture\")");
  const auto count = static_cast<Eigen::Index>(covariances_->size());
  if (count != means_->rows())
    throw InputError(
        fmt::format("model.covariances must have one for each of the {} means, found {}",
                    means_->rows(), count));
  for (const Matrix& one : *covariances_)
    if (one.rows() != features() || one.cols() != features())
      throw InputError(fmt::format("model.covariances must be {0} x {0} each, found {1} x {2}",
                                   features(), one.rows(), one.cols()));
  return mixture_prior(*means_, *covariances_, probabilities(count));
}

/// F as the longest list of the product prior's keys tells it; 0 where each has one number.
Eigen::Index ModelSection::features_of_product() const {
  std::size_t longest = 0;
  for (const auto* list : {&signal_, &density_, &mean_})
    if (*list) longest = std::max(longest, (*list)->size());
  if (laws_) longest = std::max(longest, laws_->size());
  return longest > 1 ? static_cast<Eigen::Index>(longest) : 0;
}

Prior ModelSection::product() const {
  const auto F = static_cast<std::size_t>(features());
  const auto for_each = [&]<class List>(const char* key, const std::optional<List>& list) {
    const std::size_t found = list ? list->size() : 0;
    if (found != 1 && found != F)
      throw InputError(
          fmt::format("model.{} must have one entry or {}, one for each feature (prior = "
                      "\"product\"), found {}",
                      key, F, found == 0 ? "none" : std::to_string(found)));
    List full = *list;
    full.resize(F, full.front());
    return full;
  };
  const Choices names = for_each("laws", laws_);
  const bool sparse = std::find(names.begin(), names.end(), "sparse") != names.end();
  if (density_ && !sparse)
    throw InputError("model.density has no meaning where no feature is sparse; remove it");
  const auto density = sparse ? for_each("density", density_) : std::vector<double>(F, 1.0);
  std::vector<FeatureLaw> laws;
  for (std::size_t f = 0; f < F; ++f) {
    const auto& [name, kind] =
        *std::find_if(feature_laws.begin(), feature_laws.end(),
                      [&](const auto& one) { return one.first == names[f]; });
    laws.push_back({kind, kind == Kind::sparse ? density[f] : 1.0});
  }
  return product_prior(laws, to_vector(for_each("signal", signal_)), mean());
}

}  // namespace headflow
