#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <utility>

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

/// What a file says of the run that made it, against a run that is to go on from it.
TEST(Identity, ofAFileIsItsInputAndItsSolver) {
  const auto path =
      (std::filesystem::temp_directory_path() / ("identity." + std::to_string(getpid()))).string();
  const auto file = [&](std::map<std::string, std::string> provenance) {
    write_data_file(Communicator::self(), path,
                    {.attributes = {}, .provenance = std::move(provenance), .groups = {}});
    return DataReader(path);
  };
  const std::string input = "[flow]\nend_time = 1.0\nstep = 0.1\n";
  const DataReader known = file({{"input", input}, {"solver_options", "-x"}, {"start_hash", "7"}});
  Identity run = Identity::of(known, key_of);
  EXPECT_EQ(run.input, input);
  EXPECT_EQ(run.obstacles(known), "");
  EXPECT_EQ(run.differences_from(known), "");
  EXPECT_FALSE(run.is_finished(known));
  EXPECT_TRUE(run.is_finished(file(
      {{"input", input}, {"solver_options", "-x"}, {"start_hash", "7"}, {"finished", "today"}})));
  const DataReader longer = file({{"input", "[flow]\nend_time = 2.0\nstep = 0.1\n"},
                                  {"solver_options", "-x"},
                                  {"start_hash", "7"},
                                  {"finished", "today"}});
  EXPECT_EQ(run.obstacles(longer), "");
  EXPECT_EQ(run.differences_from(longer), "flow.end_time: 2.0 -> 1.0");
  EXPECT_FALSE(run.is_finished(longer));
  run.extendable = false;
  EXPECT_EQ(run.obstacles(longer), "flow.end_time: 2.0 -> 1.0");
  run.extendable = true;
  const DataReader other = file({{"input", "[flow]\nend_time = 1.0\nstep = 0.2\n"}});
  EXPECT_EQ(run.obstacles(other),
            "flow.step: 0.2 -> 0.1; solver_options: \"\" -> \"-x\"; start_hash: \"\" -> \"7\"");
  EXPECT_EQ(run.obstacles(file({{"input", input}, {"solver_options", "-x"}})),
            "start_hash: \"\" -> \"7\"");
  EXPECT_EQ(run.obstacles(file({{"input", input}, {"start_hash", "7"}})),
            "solver_options: \"\" -> \"-x\"");
  const Identity noisy =
      Identity::of(file({{"input", "[start]\nnoise = 0.1\n"}, {"start_hash", "7"}}), key_of);
  EXPECT_EQ(noisy.obstacles(file({{"input", "[start]\nnoise = 0.2\n"}, {"start_hash", "8"}})),
            "start.noise: 0.2 -> 0.1")
      << "what follows from it is not named";
  std::filesystem::remove(path);
}

/// A value with " = ", a bracket or a line's end in it is one value.
TEST(Identity, textsMayHoldAnything) {
  const std::string before = "[start]\nfile = \"a = [b]\\n[output]\"\n";
  const std::string now = "[start]\nfile = \"a = [c]\\n[output]\"\n";
  EXPECT_NE(between(before, now, Change::allowed).find("start.file"), std::string::npos);
}

}  // namespace
}  // namespace headflow
