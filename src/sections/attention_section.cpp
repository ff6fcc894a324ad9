#include "sections/attention_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "headflow/core/error.hpp"
#include "sections/configuration.hpp"
#include "sections/model_section.hpp"

namespace headflow {

void AttentionSection::declare_keys(KeyVisitor& visitor) {
  visitor.key({.name = "heads", .help = "H, attention heads", .required = true}, heads_,
              {.least = 1, .most = 1024});
  visitor.key({.name = "activation", .help = "how scores are normalised"}, name_,
              activation_names());
  visitor.key({.name = "train",
               .help = "parameters that all sections train; the others stay at their start; "
                       "default: all that the activation has"},
              train_, {"k", "b", "v"});
  visitor.key({.name = "b_rate", .help = "learning rate of b as a multiple of k's; default 1"},
              b_rate_, positive);
  visitor.key({.name = "v_rate", .help = "learning rate of v as a multiple of k's; default 1"},
              v_rate_, positive);
  visitor.key({.name = "weight_decay",
               .help = "all sections train the loss plus (weight_decay / 2) sum_h |k_h|^2; b and v "
                       "do not decay"},
              weight_decay, at_least_zero);
}

void AttentionSection::prepare(Configuration& input) {
  const auto& model = input.prepared<ModelSection>();
  shape = {model.tokens(), static_cast<int>(heads_), model.features()};
  activation = activation_named(name_);
  resolve_training();
}

void AttentionSection::resolve_training() {
  // Defaults stay out of the resolved input: they are those of the activation, which may be swept.
  const Training all(activation);
  const auto trains = [&](const char* word, bool has) {
    return train_ ? std::find(train_->begin(), train_->end(), word) != train_->end() : has;
  };
  const bool k = trains("k", true), b = trains("b", all.b > 0), v = trains("v", all.v > 0);
  for (const auto& [word, asked, has] :
       {std::tuple{"b", b, all.b > 0}, std::tuple{"v", v, all.v > 0}})
    if (asked && !has)
      throw InputError(fmt::format(
          "attention.train has \"{}\", which activation = \"{}\" does not use; take it out", word,
          name_));
  for (const auto& [key, word, trained, rate] :
       {std::tuple{"b_rate", "b", b, b_rate_}, std::tuple{"v_rate", "v", v, v_rate_}})
    if (rate && !trained)
      throw InputError(fmt::format(
          "attention.{} has no effect, because {} is not trained; remove it", key, word));
  if (weight_decay > 0 && !k)
    throw InputError(
        "attention.weight_decay has no effect without \"k\" in attention.train; remove it");
  training = all;
  training.k = k;
  training.b = b ? b_rate_.value_or(1) : 0;
  training.v = v ? v_rate_.value_or(1) : 0;
}

}  // namespace headflow
