#include "input/nearest.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

namespace headflow {
namespace {

/// Fewest single-character edits between two words.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t corner = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = corner + (a[i - 1] == b[j - 1] ? 0 : 1);
      corner = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

/// The letters of the paper, and the keys that stand for them.
constexpr std::pair<const char*, const char*> letters[] = {
    {"nu", "signal"},        {"L", "tokens"},
    {"H", "heads"},          {"F", "features"},
    {"D", "dimension"},      {"B", "batch"},
    {"theta", "prior"},      {"lr", "learning_rate"},
    {"sigma", "activation"}, {"kappa", "learning_rate_noise"}};

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  for (const auto& [letter, key] : letters)
    if (word == letter && std::find(known.begin(), known.end(), key) != known.end()) return key;
  return *std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    const std::size_t to_a = edit_distance(word, a), to_b = edit_distance(word, b);
    return to_a != to_b ? to_a < to_b : a.size() > b.size();
  });
}

}  // namespace headflow
