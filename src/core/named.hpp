#pragma once
#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>

namespace headflow {

/// The element of `list` whose member `name` is `name`. Throws std::logic_error, for instance
/// "group flow has no variable foo", when there is none: `owner` is "group flow has no variable".
template <class List>
auto& at(List& list, std::string_view name, const std::string& owner) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.name == name; });
  if (found == list.end()) throw std::logic_error(owner + " " + std::string(name));
  return *found;
}

}  // namespace headflow
