#include "output/columns.hpp"

namespace headflow {

Dimension counted(const std::string& name, std::int64_t count, const std::string& long_name) {
  Dimension dimension{.name = name, .values = {}, .long_name = long_name};
  for (std::int64_t i = 1; i <= count; ++i) dimension.values.push_back(static_cast<double>(i));
  return dimension;
}

}  // namespace headflow
