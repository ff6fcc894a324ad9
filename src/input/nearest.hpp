#pragma once
#include <string>
#include <vector>

namespace headflow {

/// The one of `known`, which is not empty, whose letter in the paper `word` is, else that takes the
/// fewest edits of single characters, of several the longest: a sign is sooner forgotten than put
/// in.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

}  // namespace headflow
