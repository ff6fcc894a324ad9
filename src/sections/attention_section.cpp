#include "sections/attention_section.hpp"

#include "sections/configuration.hpp"
#include "sections/model_section.hpp"

namespace headflow {

void AttentionSection::declare_keys(KeyVisitor& visitor) {
  visitor.key({.name = "heads", .help = "H, attention heads", .required = true}, heads_,
              {.least = 1, .most = 1024});
  visitor.key({.name = "activation", .help = "how scores are normalised"}, name_,
              activation_names());
  visitor.key({.name = "weight_decay",
               .help = "what is trained, by whatever section, is the loss plus (weight_decay / 2) "
                       "sum_h |k_h|^2; b and v are not decayed"},
              weight_decay, at_least_zero);
}

void AttentionSection::prepare(Configuration& input) {
  const auto& model = input.prepared<ModelSection>();
  shape = {model.tokens(), static_cast<int>(heads_), model.features()};
  activation = activation_named(name_);
}

}  // namespace headflow
