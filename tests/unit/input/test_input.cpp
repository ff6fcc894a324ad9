#include <fmt/format.h>
#include <gtest/gtest.h>

#include "headflow/core/error.hpp"
#include "input/printer.hpp"
#include "input/reader.hpp"
#include "input/toml_text.hpp"
#include "sections/section.hpp"

namespace headflow {
namespace {

const std::string minimal =
    "[model]\ntokens = 4\nprior = 'flipping-spike'\nsignal = [2.0, 1]\n[attention]\nheads = 2\n";

/// Every section, as read.
Sections read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  Sections sections;
  sections.read(parse_input(text, "case.toml", overrides), "case.toml");
  return sections;
}

std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    read(text, overrides);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

void expect_words(const std::string& message, const std::vector<std::string>& words) {
  for (const auto& word : words)
    EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' is not in: " << message;
}

TEST(Input, readsTypesDefaultsAndOverrides) {
  const auto values = values_of(to_toml(
      read(minimal + "[population]\nsamples = 1e6\n[start]\nm = [[1, 2.5], [3, 4]]\n[flow]\n",
           {"flow.end_time=7", "attention.activation=softmax-1", "flow.method=4"})
          .views()));
  const std::pair<const char*, const char*> expected[] = {{"model.tokens", "4"},
                                                          {"model.signal", "[2.0, 1.0]"},
                                                          {"population.samples", "1000000"},
                                                          {"flow.end_time", "7.0"},
                                                          {"flow.method", "\"4\""},
                                                          {"attention.activation", "\"softmax-1\""},
                                                          {"start.m", "[[1.0, 2.5], [3.0, 4.0]]"},
                                                          {"population.replicates", "8"}};
  for (const auto& [key, value] : expected) EXPECT_EQ(values.at(key), value) << key;
  EXPECT_FALSE(values.contains("start.noise"));
  EXPECT_FALSE(values.contains("sgd.seed")) << "a section that is not given";
}

TEST(Input, theResolvedInputReadsBackAsItself) {
  const std::string resolved =
      to_toml(read(minimal + "[flow]\noutput_times = [0.1, 0.30000000000000004, 1e-9]\n").views());
  EXPECT_EQ(to_toml(read(resolved).views()), resolved);
  EXPECT_NE(resolved.find("[0.1, 0.30000000000000004, 1e-09]"), std::string::npos) << resolved;
}

/// Texts with everything that TOML wants escaped, numbers of any size and lists that are long.
TEST(Input, everyValueIsOneLineThatReadsBack) {
  const auto reads_back = [](const std::string& text) {
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return to_toml(*parse_input("x = " + text, "x", {}).get("x"));
  };
  std::string all;
  for (int byte = 1; byte < 128; ++byte) all += static_cast<char>(byte);
  for (const std::string& text : {all, std::string("a\"b\\n\tc\nd"),
                                  std::string("D\u00fcse \U0001f9e0\u2028"), std::string()})
    EXPECT_EQ(parse_input("x = " + to_toml(text), "x", {})["x"].value<std::string>(), text);
  for (const std::string text :
       {"5e-324", "1e-300", "0.1", "-0.0", "1.7976931348623157e+308", "9007199254740993",
        "-9223372036854775808", "true", "[[1.0, 2], [\"a\\\"b\"], []]", "1979-05-27",
        "{ \"a\" = { \"b c\" = [1.5] } }"})
    EXPECT_EQ(reads_back(text), text);
  const std::string word(100, 'x');
  const std::string list = fmt::format("[\"{0}\", \"{0}\"]", word);
  EXPECT_EQ(reads_back(list), list);
}

TEST(Input, errorsSayWhatWhereAndWhatIsAllowed) {
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

TEST(Input, theReferenceNamesEveryKeyOnce) {
  const Sections sections;
  const std::string reference = describe_keys(key_help(sections.views()));
  const auto table = key_table(sections.views());
  EXPECT_GT(table.size(), 60u);
  for (const auto& [name, declared] : table) {
    const std::string line = "\n  " + std::string(declared.key.name) + " ";
    EXPECT_NE(reference.find(line), std::string::npos) << name;
    EXPECT_NE(*declared.key.help, '\0') << name;
  }
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = reference.find("\n  ", at)) != std::string::npos; ++at) ++lines;
  EXPECT_EQ(lines, table.size());
}

/// An options struct with a key of every kind, as a new section would declare it.
struct EveryKind : InputSection {
  const char* name() const override { return "every"; }
  const char* help() const override { return "kinds of keys"; }
  void declare_keys(KeyVisitor& visitor) override {
    visitor.key({"flag", "a"}, flag);
    visitor.whole({"small", "b"}, small, {.least = 0, .most = 9});
    visitor.choice<char>({"letter", "c"}, letter, {{"first", 'a'}, {"second", 'b'}});
    visitor.key({"number", "d"}, number, positive);
    visitor.key({"either", "e"}, either, at_least_zero, {"word"});
    visitor.key({"list", "f"}, list, any_number);
    visitor.key({"matrix", "g"}, matrix);
    visitor.key({"text", "h"}, text);
  }
  bool flag = false;
  int small = 3;
  char letter = 'a';
  double number = 0.5;
  NumberOrWord either = 1.0;
  std::optional<std::vector<double>> list;
  std::optional<Matrix> matrix;
  std::optional<std::string> text;
};

TEST(Input, everyKindOfKeyReadsAndPrints) {
  EveryKind section;
  InputSection* const views[] = {&section};
  const std::string text =
      "[every]\nflag = true\nsmall = 7\nletter = \"second\"\nnumber = 2.5\neither = \"word\"\n"
      "list = [1.0, 2.0]\nmatrix = [[1.0, 2.0], [3.0, 4.0]]\ntext = \"x\"\n";
  read_sections(parse_input(text, "every.toml", {}), "every.toml", views);
  EXPECT_EQ(section.small, 7);
  EXPECT_EQ(section.letter, 'b');
  EXPECT_EQ(to_toml(views), text);
  for (const std::string wrong : {"small = 10", "small = 1.5", "letter = 'third'", "number = 0",
                                  "either = 'sword'", "flag = 1", "list = ['a']", "text = 3"})
    EXPECT_THROW(
        read_sections(parse_input("[every]\n" + wrong, "every.toml", {}), "every.toml", views),
        InputError)
        << wrong;
}

}  // namespace
}  // namespace headflow
