#include <gtest/gtest.h>

#include "headflow/core/error.hpp"
#include "input/toml_text.hpp"
#include "sweep/member_result.hpp"
#include "sweep/sweep.hpp"

namespace headflow {
namespace {

const std::string base =
    "[model]\ntokens = 4\nprior = 'flipping-spike'\nsignal = [2.0, 1]\n[attention]\nheads = 2\n";

Sweep sweep_of(const std::string& text) {
  const toml::table table = parse_input(base + text, "case.toml", {});
  Sections sections;
  sections.read(table, "case.toml");
  return read_sweep(table, "case.toml", sections);
}

TEST(Sweep, membersAreTheProductInTheOrderOfTheFile) {
  const Sweep sweep = sweep_of(
      "[sweep]\n'attention.heads' = [2, 4]\n'model.signal[2]' = { from = 1, to = 100, count = 3, "
      "spacing = 'log' }\n");
  ASSERT_EQ(sweep.size(), 6);
  EXPECT_EQ(sweep.axes[1].name, "model_signal_2");
  EXPECT_EQ(sweep.axes[1].coordinates, (std::vector<double>{1, 10, 100}));
  EXPECT_EQ(sweep.changes(0), (std::vector<std::string>{"attention.heads=2", "model.signal[2]=1"}));
  EXPECT_EQ(sweep.changes(4),
            (std::vector<std::string>{"attention.heads=4", "model.signal[2]=10"}));
  EXPECT_EQ(sweep_of(sweep.to_toml()).changes(5), sweep.changes(5)) << sweep.to_toml();
}

TEST(Sweep, zippedKeysVaryTogetherInThePlaceOfTheFirst) {
  const Sweep sweep = sweep_of(
      "[sweep]\n'model.tokens' = [3, 4]\n'attention.heads' = [2, 4]\n'start.noise' = [0.1, 0.2, "
      "0.3]\n"
      "'start.eta' = [1, 2]\nzip = [['attention.heads', 'model.tokens', 'start.eta']]\n");
  ASSERT_EQ(sweep.axes.size(), 2u);
  EXPECT_EQ(sweep.size(), 6);
  EXPECT_EQ(sweep.axes[0].keys,
            (std::vector<std::string>{"attention.heads", "model.tokens", "start.eta"}));
  EXPECT_EQ(sweep.axes[0].values[1], (std::vector<std::string>{"4", "4", "2"}));
  EXPECT_EQ(sweep_of(sweep.to_toml()).changes(5), sweep.changes(5)) << sweep.to_toml();
  EXPECT_THROW(sweep_of("[sweep]\n'start.eta' = [1, 2]\nzip = [['start.eta', 'start.eta']]\n"),
               InputError);
}

TEST(Sweep, repeatsAdvanceTheSeedsOfWhatIsGiven) {
  const Sweep sweep = sweep_of(
      "[start]\nseed = 7\n[train]\nstarts = 3\n[sgd]\ndimension = 100\nbatch = 1\nlearning_rate = "
      "0.1\nseed = 5\n[sweep]\nrepeats = 2\n");
  ASSERT_EQ(sweep.size(), 2);
  EXPECT_EQ(sweep.changes(1), (std::vector<std::string>{"start.seed=10", "sgd.seed=6"}));
  EXPECT_EQ(sweep_of("[sweep]\nrepeats = 2\n").changes(1),
            (std::vector<std::string>{"start.seed=2"}));
}

TEST(Sweep, aResultIsPackedAndUnpacked) {
  const MemberResult result{
      .member = 3,
      .seconds = 0.25,
      .failure = "it \xc3\xa4 failed",
      .groups = {{"flow",
                  {{.name = "head", .values = {1, 2}, .long_name = "head h"}},
                  {{.name = "b", .axes = {"head"}, .data = {-0.0, 1e-300}, .long_name = "bias"}}}}};
  const MemberResult back = MemberResult::unpacked(result.packed());
  EXPECT_EQ(back.member, 3);
  EXPECT_EQ(back.failure, result.failure);
  ASSERT_EQ(back.groups.size(), 1u);
  EXPECT_EQ(back.groups[0].dimensions[0].long_name, "head h");
  EXPECT_TRUE(std::signbit(back.groups[0].variables[0].data[0]));
  EXPECT_EQ(back.groups[0].variables[0].data[1], 1e-300);
  EXPECT_EQ(back.packed(), result.packed());
}

}  // namespace
}  // namespace headflow
