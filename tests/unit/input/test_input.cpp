#include <gtest/gtest.h>

#include "headflow/core/error.hpp"
#include "input/input_keys.hpp"

namespace headflow {
namespace {

const std::string minimal =
    "[model]\ntokens = 4\nprior = 'flipping-spike'\nsignal = [2.0, 1]\n[attention]\nheads = 2\n";

std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    read_keys(text, "case.toml", overrides);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

void expect_words(const std::string& message, const std::vector<std::string>& words) {
  for (const auto& word : words)
    EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' is not in: " << message;
}

TEST(InputKeys, readsTypesDefaultsAndOverrides) {
  const InputKeys keys = read_keys(
      minimal + "[population]\nsamples = 1e6\n[start]\nm = [[1, 2.5], [3, 4]]\n", "case.toml",
      {"flow.end_time=7", "attention.activation=softmax-1", "flow.method=4"});
  EXPECT_EQ(keys.model.tokens, 4);
  EXPECT_EQ(*keys.model.signal, (std::vector<double>{2, 1}));
  EXPECT_EQ(keys.population.samples, 1000000);
  EXPECT_EQ(keys.flow.end_time, 7);
  EXPECT_EQ(keys.flow.method, "4");
  EXPECT_EQ(keys.attention.activation, "softmax-1");
  EXPECT_EQ((*keys.start.m)(0, 1), 2.5);
  EXPECT_FALSE(keys.start.noise.has_value());
  EXPECT_EQ(keys.population.replicates, 8);
}

TEST(InputKeys, theResolvedInputReadsBackAsItself) {
  const InputKeys keys = read_keys(
      minimal + "[flow]\noutput_times = [0.1, 0.30000000000000004, 1e-9]\n", "case.toml", {});
  const std::string resolved = to_toml(keys);
  EXPECT_EQ(to_toml(read_keys(resolved, "resolved.toml", {})), resolved);
  EXPECT_EQ(*read_keys(resolved, "resolved.toml", {}).flow.output_times, *keys.flow.output_times);
}

TEST(InputKeys, errorsSayWhatWhereAndWhatIsAllowed) {
  expect_words(error_of(minimal + "[populaton]\nseed = 1\n"),
               {"case.toml:7", "[populaton]", "did you mean [population]"});
  expect_words(error_of(minimal + "[flow]\nend_tme = 1\n"),
               {"case.toml:8", "flow.end_tme", "did you mean flow.end_time"});
  expect_words(error_of(minimal + "[flow]\nend_time = -1\n"), {"case.toml:8", "-1", "> 0"});
  expect_words(error_of(minimal + "[flow]\nend_time = 'x'\n"),
               {"case.toml:8", "flow.end_time", "a number"});
  expect_words(error_of(minimal + "[flow]\nmethod = 'rk4'\n"), {"rk4", "did you mean", "5dp"});
  expect_words(error_of(minimal + "[population]\nsamples = 2.5\n"), {"2.5", "whole number"});
  expect_words(error_of(minimal + "[population]\nsymmetric = 1\n"), {"true or false"});
  expect_words(error_of(minimal + "[start]\nm = [[1, 2], [3]]\n"), {"rows of equal length"});
  expect_words(error_of("[model]\ntokens = 1\n"), {"case.toml:2", "tokens = 1", ">= 2"});
  expect_words(error_of("[model]\ntokens = 4\nsignal = 1\n"), {"model.prior is missing"});
  expect_words(error_of("[model\ntokens = 4\n"), {"case.toml:1", "not valid TOML"});
  expect_words(error_of(minimal, {"flow"}), {"--set section.key=value"});
  expect_words(error_of(minimal, {"flow.end_tme=2"}), {"did you mean flow.end_time"});
}

TEST(InputKeys, theReferenceNamesEveryKeyOfTheResolvedInput) {
  const std::string reference = describe_keys();
  for (const char* word :
       {"[model]", "tokens", "covariance", "replicates", "split_threshold", "required", "default"})
    EXPECT_NE(reference.find(word), std::string::npos) << word;
}

}  // namespace
}  // namespace headflow
