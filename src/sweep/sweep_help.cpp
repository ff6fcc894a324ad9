#include <fmt/format.h>

#include "sweep/sweep.hpp"

namespace headflow {

std::vector<KeyHelp> sweep_help() {
  const std::string name = "sweep";
  return {
      {name, "", "the input for all values of some keys: one file with all results"},
      {name, "\"SECTION.KEY\"",
       "an axis: [values], or a range { from = A, to = B, count = N, spacing = \"linear\" or "
       "\"log\" }; \"SECTION.KEY[i]\" is one number of a list; several axes are a product"},
      {name, "repeats",
       fmt::format(
           "runs of each member, with different seeds (whole number >= 1 and <= {}; default 1)",
           most_members)},
      {name, "zip",
       "keys that vary together, not as a product, written as [[\"SECTION.KEY\", "
       "\"SECTION.KEY\"]]"},
      {name,
       "ranks_per_member",
       fmt::format("ranks that compute one member; 0: all ranks divided by the members, at least "
                   "one (whole number >= 0 and <= "
                   "{}; default 0)",
                   most_members),
       {},
       false},
  };
}

}  // namespace headflow
