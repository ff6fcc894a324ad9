#include "sections/attention_section.hpp"

#include "sections/configuration.hpp"
#include "sections/model_section.hpp"

namespace headflow {

void AttentionSection::declare_keys(KeyVisitor& visitor) {
  visitor.key({.name = "heads", .help = "H, attention heads", .required = true}, heads_,
              {.least = 1, .most = 1024});
  visitor.key({.name = "activation", .help = "how scores are normalised"}, name_,
              activation_names());
}

void AttentionSection::prepare(Configuration& input) {
  const auto& model = input.prepared<ModelSection>();
  shape = {model.tokens(), static_cast<int>(heads_), model.features()};
  activation = activation_named(name_);
}

}  // namespace headflow
