#include <gtest/gtest.h>

#include "restart/identity.hpp"

namespace headflow {
namespace {

Key key_of(const std::string& name) {
  if (name == "flow.end_time") return {.name = "", .help = "", .change = Change::allowed};
  if (name.starts_with("output.")) return {.name = "", .help = "", .change = Change::irrelevant};
  return {.name = "", .help = "", .hint = name == "sgd.engine" ? "set it" : ""};
}

std::string between(const std::string& before, const std::string& now, Change tolerated) {
  return differences(before, now, key_of, [&](Change change) {
    return change != Change::refused && change >= tolerated;
  });
}

TEST(Identity, aChangeIsToldByItsKey) {
  const std::string before =
      "[flow]\nend_time = 1.0\nstep = 0.1\n[output]\nevery = 5.0\n[sgd]\nengine = \"direct\"\n";
  EXPECT_EQ(between(before, before, Change::allowed), "");
  const std::string later =
      "[flow]\nend_time = 2.0\nstep = 0.1\n[output]\nevery = 6.0\n[sgd]\nengine = \"direct\"\n";
  EXPECT_EQ(between(before, later, Change::allowed), "");
  EXPECT_EQ(between(before, later, Change::irrelevant), "flow.end_time: 1.0 -> 2.0");
  const std::string other = "[flow]\nend_time = 1.0\n[sgd]\nengine = \"overlaps\"\nseed = 2\n";
  EXPECT_EQ(between(before, other, Change::allowed),
            "flow.step: 0.1 -> (not given); sgd.engine: \"direct\" -> \"overlaps\" (set it); "
            "sgd.seed: (not given) -> 2");
}

/// A value with " = ", a bracket or a line's end in it is one value.
TEST(Identity, textsMayHoldAnything) {
  const std::string before = "[start]\nfile = \"a = [b]\\n[output]\"\n";
  const std::string now = "[start]\nfile = \"a = [c]\\n[output]\"\n";
  EXPECT_NE(between(before, now, Change::allowed).find("start.file"), std::string::npos);
}

}  // namespace
}  // namespace headflow
