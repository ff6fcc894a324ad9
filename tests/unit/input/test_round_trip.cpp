#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include <random>

#include "headflow/core/error.hpp"
#include "input/printer.hpp"
#include "input/reader.hpp"
#include "input/toml_text.hpp"
#include "sections/configuration.hpp"
#include "support.hpp"
#include "sweep/sweep.hpp"

namespace headflow {
namespace {

/// Gives keys random values that their declarations allow, of all magnitudes, or leaves them.
class RandomValues : public KeyVisitor {
 public:
  explicit RandomValues(std::mt19937_64& random) : random_(random) {}

  void key(const Key& key, bool& value) override {
    if (chosen(key)) value = one_of(2) == 1;
  }
  void key(const Key& key, std::int64_t& value, const Range& range) override {
    if (chosen(key)) value = static_cast<std::int64_t>(whole(range));
  }
  void key(const Key& key, std::optional<std::int64_t>& value, const Range& range) override {
    if (chosen(key)) value = static_cast<std::int64_t>(whole(range));
  }
  void key(const Key& key, double& value, const Range& range) override {
    if (chosen(key)) value = number(range);
  }
  void key(const Key& key, std::optional<double>& value, const Range& range) override {
    if (chosen(key)) value = number(range);
  }
  void key(const Key& key, NumberOrWord& value, const Range& range, const Choices& words) override {
    if (!chosen(key)) return;
    if (one_of(2) == 0)
      value = number(range);
    else
      value = words[one_of(words.size())];
  }
  void key(const Key& key, std::string& value, const Choices& words) override {
    if (chosen(key)) value = words[one_of(words.size())];
  }
  void key(const Key& key, std::optional<std::string>& value) override {
    if (chosen(key)) value = text();
  }
  void key(const Key& key, std::optional<Choices>& value, const Choices& words) override {
    if (!chosen(key)) return;
    value = words;
    std::shuffle(value->begin(), value->end(), random_);
    value->resize(1 + one_of(words.size()));
  }
  void key(const Key& key, std::optional<std::vector<double>>& value, const Range& range) override {
    if (chosen(key)) value = numbers(range);
  }
  void key(const Key& key, std::optional<Matrix>& value) override {
    if (chosen(key)) value = matrix();
  }
  void key(const Key& key, std::optional<std::vector<Matrix>>& value) override {
    if (!chosen(key)) return;
    value.emplace(1 + one_of(3));
    for (Matrix& one : *value) one = matrix();
  }
  void words(const Key& key, std::optional<Choices>& value, const Choices& words) override {
    if (!chosen(key)) return;
    value.emplace(1 + one_of(5));
    for (std::string& word : *value) word = words[one_of(words.size())];
  }

  std::size_t one_of(std::size_t count) { return random_() % count; }
  std::string text() {
    static const std::vector<std::string> parts = {"a",  "\"", "\\", "\n",     "\t", "\x01", "\x7f",
                                                   "'",  "#",  " ",  "\u00e9", "=",  "]",    "\\n",
                                                   "\r", "{",  ",",  "\u20ac", "/",  ".h5"};
    std::string text = "x";
    for (std::size_t i = one_of(8); i > 0; --i) text += parts[one_of(parts.size())];
    return text;
  }

 private:
  bool chosen(const Key& key) { return key.required || one_of(3) == 0; }
  double number(const Range& range) {
    static const std::vector<double> ends = {
        1e-300, 5e-324, 0.1, 1.0 / 3, 1, 3, 1e15, 1.0e22, 1e300, 1.7976931348623157e308};
    for (;;) {
      const double size = one_of(4) == 0
                              ? ends[one_of(ends.size())]
                              : std::exp(std::uniform_real_distribution(-40.0, 40.0)(random_));
      const double x = one_of(2) == 0 ? size : -size;
      if (x > range.least && x <= range.most) return x;
      if (!range.open_below && one_of(20) == 0 && std::isfinite(range.least)) return range.least;
    }
  }
  double whole(const Range& range) {
    const double least = std::max(range.least, -1e15), most = std::min(range.most, 9e15);
    return one_of(8) == 0
               ? (one_of(2) == 0 ? least : most)
               : std::floor(least + std::min(most - least, std::exp(std::uniform_real_distribution(
                                                               0.0, 37.0)(random_)) -
                                                               1));
  }
  Matrix matrix() {
    Matrix matrix(1 + one_of(3), 1 + one_of(40));
    for (double& x : matrix.reshaped()) x = number(any_number);
    return matrix;
  }
  std::vector<double> numbers(const Range& range) {
    std::vector<double> all(one_of(40));
    for (double& x : all) x = number(range);
    return all;
  }

  std::mt19937_64& random_;
};

/// All numbers of the sections that are given, as they are in memory.
class NumbersOf : public KeyVisitor {
 public:
  explicit NumbersOf(Sections& sections) {
    for (const auto& section : sections)
      if (section->given) section->declare_keys(*this);
  }
  void key(const Key&, bool&) override {}
  void key(const Key&, std::int64_t& value, const Range&) override {
    all.push_back(static_cast<double>(value));
  }
  void key(const Key&, std::optional<std::int64_t>& value, const Range&) override {
    if (value) all.push_back(static_cast<double>(*value));
  }
  void key(const Key&, double& value, const Range&) override { all.push_back(value); }
  void key(const Key&, std::optional<double>& value, const Range&) override {
    if (value) all.push_back(*value);
  }
  void key(const Key&, NumberOrWord& value, const Range&, const Choices&) override {
    if (const auto* number = std::get_if<double>(&value)) all.push_back(*number);
  }
  void key(const Key&, std::string&, const Choices&) override {}
  void key(const Key&, std::optional<std::string>&) override {}
  void key(const Key&, std::optional<Choices>&, const Choices&) override {}
  void key(const Key&, std::optional<std::vector<double>>& value, const Range&) override {
    if (value) all.insert(all.end(), value->begin(), value->end());
  }
  void key(const Key&, std::optional<Matrix>& value) override {
    if (value) add(*value);
  }
  void key(const Key&, std::optional<std::vector<Matrix>>& value) override {
    if (!value) return;
    for (const Matrix& one : *value) add(one);
  }
  void words(const Key&, std::optional<Choices>&, const Choices&) override {}

  std::vector<double> all;

 private:
  void add(const Matrix& matrix) {
    for (const double x : matrix.reshaped()) all.push_back(x);
  }
};

Sections read(const std::string& text) {
  Sections sections;
  sections.read(parse_input(text, "case.toml", {}), "case.toml");
  return sections;
}

/// Whatever the declared keys allow is printed as it is read, with every bit of its numbers.
TEST(RoundTrip, everyKeyWithAnyValue) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    Sections sections;
    RandomValues values(random);
    for (const auto& section : sections) {
      section->given = !section->optional() || values.one_of(2) == 0;
      section->declare_keys(values);
    }
    const std::string text = to_toml(sections.views());
    Sections again = read(text);
    ASSERT_EQ(NumbersOf(again).all, NumbersOf(sections).all) << text;
    ASSERT_EQ(to_toml(again.views()), text);
    const auto table = key_table(again.views());
    for (const auto& [name, value] : values_of(text))
      ASSERT_EQ(value, table.at(name).value) << name;
  }
}

/// What the check of an input prints, or nothing where it is refused.
std::string checked(const std::string& text) {
  try {
    const toml::table table = parse_input(text, "case.toml", {});
    const Configuration input(testing_support::world(), {"case.toml", {}, ""}, table);
    return input.resolved() + read_sweep(table, "case.toml", input.sections()).to_toml();
  } catch (const InputError& error) {
    return "";
  }
}

/// The parts of an input that go together, each with some choices.
const std::vector<std::vector<std::string>> parts = {
    {"[model]\ntokens = 3\nprior = 'flipping-spike'\nsignal = [2, 1e-300]\n",
     "[model]\ntokens = 4096\nprior = 'flipping-spike'\nsignal = 0.1\nfeatures = 2\n",
     "[model]\ntokens = 2\nprior = 'canonical-spikes'\nsignal = 1e300\nfeatures = 33\n",
     "[model]\ntokens = 0x10\nprior = 'anisotropic-gaussian'\nsignal = [0, 3]\nfeatures = 2\n",
     "[model]\ntokens = 3\nprior = 'discrete'\natoms = [[0.1, 3e-200], [7, 1_000]]\nweights = "
     "[0.25, "
     "0.75]\n",
     "[model]\ntokens = 3\nprior = 'discrete'\natoms = [[0.1, 0.2], [0.3, 1e22], [-0.0, 5e-324]]\n",
     "[model]\ntokens = 3\nprior = 'mixture'\nmeans = [[0.1, 3e-200], [7, 1]]\ncovariances = [[[2, "
     "0.5], [0.5, 0.125]], [[0, 0], [0, 0]]]\n",
     "[model]\ntokens = 3\nprior = 'product'\nlaws = ['signs', 'sparse']\nsignal = 2\ndensity = "
     "0.1\n",
     "[model]\ntokens = 3\nprior = 'product'\nlaws = 'uniform'\nsignal = [1, 1e-3]\nmean = [0, "
     "3]\n",
     "[model]\ntokens = 3\nprior = 'gaussian'\nmean = [1, -1e-8]\ncovariance = [[2, 0.5], [0.5, "
     "0.125]]\n"},
    {"[attention]\nheads = 2\n", "[attention]\nheads = 2e0\nactivation = \"softmax-1\"\n",
     "[attention]\nheads = 2\nactivation = 'bayes-softmax'\n"},
    {"", "[start]\n", "[start]\nnoise = 0.1\nseed = 9e15\n",
     "[start]\ndimension = 1e15\neta = 0.3333333333333333\n",
     "[start]\ndimension = 123456789\nspikes = 'orthonormal'\n",
     "[start]\nm = [[0.1, 0.2], [0.3, 1e-17]]\nr = [[1, 0.25], [0.25, 2]]\nb = [0, 1e-300]\nv = "
     "-1.5\n",
     "[start]\nbayes = true\n"},
    {"", "[population]\nsamples = 2e9\n", "[population]\nsamples = 2999999997\nreplicates = 3\n",
     "[population]\nsamples = 4e9\nreplicates = 4000\nmemory = 1e-1\n",
     "[population]\nsamples = 64\nreplicates = 1\nprecision = 'single'\nsymmetric = true\n",
     "[population]\nsamples = 8\nsampling = \"monte-carlo\"\ntest_samples = 80\n"},
    {"", "[flow]\n", "[flow]\nend_time = 0.1\n",
     "[flow]\noutput_times = [0, 1e-300, 0.30000000000000004]\nmethod = 4\n",
     "[flow]\nmethod = 'euler'\nstep = 1e-3\noutputs = 7\nspacing = 'log'\n"},
    {"", "[sgd]\ndimension = 1000\nbatch = 1\nlearning_rate = 0.0123\nend_time = 1.1\n",
     "[sgd]\ndimension = 1e3\nbatch = 4e9\nlearning_rate = 1e-300\nsteps = 12345678901234\n",
     "[sgd]\ndimension = 100\nbatch = 3\nlearning_rate = 0.07\nreplicas = 2\nsave_weights = "
     "true\n[flow]\nend_time = 1.23\n",
     "[saddle]\n", "[saddle]\nend_time = 1e-9\ndimensions = [1e2, 3.7e11]\n",
     "[train]\nstarts = 1\ngradient_tolerance = 1e-300\n[maps]\n[prune]\n",
     "[train]\n[bayes]\nstandard_error = 0.1\nsamples = 4e9\n",
     "[flow]\n[train]\nfrom = 'flow'\nstarts = 1\n"},
    {"", "[schedule]\nlaw = 'cosine'\nlength = 3e-1\nwarm_up = 0.1\n",
     "[schedule]\nlaw = 'steps'\ntimes = [0.1, 1e9]\nfactors = 1e-3\n",
     "[schedule]\nlaw = 'power'\nscale = 0.3333333333333333\n"},
    {"", "[output]\nfile = 'a\"b\\n.h5'\nevery = 0\n",
     "[output]\nfile = \"a\\n\\u0001\\u00e9'.h5\"\n"},
    {"", "[sweep]\n\"model.tokens\" = [3, 4]\nrepeats = 2\n", "[sweep]\n\"output.every\" = [1]\n",
     "[sweep]\nstart.seed = [1, 0x2]\nranks_per_member = 1\n",
     "[sweep]\n\"population.memory\" = { from = 1e-300, to = 0.1, count = 3, spacing = 'log' }\n",
     "[sweep]\n\"model.tokens\" = [3, 4]\n\"population.seed\" = [1, 2]\nzip = [[\"model.tokens\", "
     "\"population.seed\"]]\n"}};

/// check(check(x)) is check(x), for inputs with and without what they leave to defaults.
TEST(RoundTrip, aCheckedInputIsItsOwnCheck) {
  std::mt19937_64 random(2);
  int valid = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string text;
    for (const auto& choices : parts) {
      const std::string& part = choices[random() % choices.size()];
      const std::string head = part.substr(0, part.find(']') + 1);
      if (part.empty() || text.find(head) == std::string::npos) text += part;
    }
    const std::string first = checked(text);
    if (first.empty()) continue;
    ++valid;
    ASSERT_EQ(checked(first), first) << text;
  }
  EXPECT_GT(valid, 100);
}

/// A default that follows from another key stays within its own range.
TEST(RoundTrip, derivedDefaultsAreAllowed) {
  const std::string head =
      "[model]\ntokens = 3\nprior = 'flipping-spike'\nsignal = 2\n[attention]\nheads = 2\n";
  const auto values = [&](const std::string& text) { return values_of(checked(head + text)); };
  EXPECT_EQ(values("[population]\nsamples = 2e9\n").at("population.test_samples"), "4000000000");
  EXPECT_EQ(
      values("[population]\nsamples = 2999999997\nreplicates = 3\n").at("population.test_samples"),
      "3999999999");
  EXPECT_EQ(values("[population]\nsamples = 1e9\n").at("population.test_samples"), "4000000000");
  EXPECT_EQ(values("[population]\nsamples = 80\n").at("population.test_samples"), "320");
}

}  // namespace
}  // namespace headflow
