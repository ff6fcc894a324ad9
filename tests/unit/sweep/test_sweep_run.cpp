// A whole sweep of small members: which are computed, what its file has, what is refused.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "core/paths.hpp"
#include "headflow/core/error.hpp"
#include "input/toml_text.hpp"
#include "support.hpp"
#include "sweep/sweep_run.hpp"

namespace headflow {
namespace {

using testing_support::world;
namespace fs = std::filesystem;

const std::string base =
    "[model]\ntokens = 3\nprior = 'flipping-spike'\nsignal = [2, 2]\n[attention]\nheads = 1\n"
    "[population]\nsamples = 64\nreplicates = 2\n[bayes]\n";
/// The Bayes risk grows with the number of tokens.
const std::string three = base + "[sweep]\n'model.tokens' = [2, 4, 8]\n";

/// A folder for one output, the same for all ranks.
class DistributedSweepRun : public testing::Test {
 protected:
  DistributedSweepRun() {
    folder_ = world().broadcast(
        (fs::temp_directory_path() / ("sweep-run-" + std::to_string(getpid()))).string());
    world().on_root([&] { fs::create_directory(folder_); });
  }
  ~DistributedSweepRun() override {
    world().barrier();
    if (world().root()) fs::remove_all(folder_);
  }
  std::string output() const { return folder_ + "/case.h5"; }

  /// Calls work(configuration, sweep) with that input.
  auto with_input(const std::string& text, auto&& work) const {
    const toml::table table = parse_input(text, "case.toml", {});
    const Configuration input(world(), {"case.toml", {}, output()}, table);
    return work(input, read_sweep(table, "case.toml", input.sections()));
  }
  /// Member number `part` modulo `parts`, and what the output has of others.
  ExitCode run(const std::string& text, std::int64_t part = 0, std::int64_t parts = 1) const {
    return with_input(text, [&](const Configuration& input, const Sweep& sweep) {
      Checkpoints checkpoints(world(), output(), 1);
      SweepRequest request{.provenance = {{"input", text}, {"run_id", "a test"}},
                           .part = part,
                           .parts = parts,
                           .limits = {},
                           .earlier = {}};
      if (world().root() && fs::exists(output()))
        request.earlier.push_back(std::make_shared<DataReader>(output()));
      return run_sweep(world(), input, sweep, request, checkpoints);
    });
  }

  std::string folder_;
};

TEST_F(DistributedSweepRun, computesAllMembers) {
  EXPECT_EQ(run(three), ExitCode::finished);
  if (world().root()) {
    const DataReader file(output());
    EXPECT_EQ(file.numbers("sweep/done").data, (std::vector<double>{1, 1, 1}));
    const std::vector<double> risk = file.numbers("bayes/risk").data;
    ASSERT_EQ(risk.size(), 3u);
    EXPECT_LT(risk[0], risk[1]);
    EXPECT_LT(risk[1], risk[2]);
    EXPECT_TRUE(file.has("provenance/finished"));
    EXPECT_FALSE(file.has("provenance/stopped"));
    EXPECT_FALSE(file.has("provenance/part"));
  }
  world().barrier();
  const auto before = fs::last_write_time(output());
  EXPECT_EQ(run(three), ExitCode::finished);
  EXPECT_EQ(fs::last_write_time(output()), before) << "nothing is left to do";
}

TEST_F(DistributedSweepRun, computesItsPartAndThenTheRest) {
  EXPECT_EQ(run(three, 1, 2), ExitCode::finished);
  double risk = 0;
  if (world().root()) {
    const DataReader file(output());
    EXPECT_EQ(file.numbers("sweep/done").data, (std::vector<double>{0, 1, 0}));
    EXPECT_FALSE(file.has("provenance/finished"));
    EXPECT_EQ(file.text("provenance/part"), "2/2");
    risk = file.numbers("bayes/risk").data[1];
  }
  world().barrier();
  EXPECT_EQ(run(three), ExitCode::finished);
  if (world().root()) {
    const DataReader file(output());
    EXPECT_EQ(file.numbers("sweep/done").data, (std::vector<double>{1, 1, 1}));
    EXPECT_EQ(file.numbers("bayes/risk").data[1], risk);
    EXPECT_TRUE(file.has("provenance/finished"));
  }
}

/// Files of parts make one that has all their members; one file alone is a sweep that goes on.
TEST_F(DistributedSweepRun, partsAreMerged) {
  const std::string even = folder_ + "/even.h5", merged = folder_ + "/merged.h5";
  EXPECT_EQ(run(three, 0, 2), ExitCode::finished);
  if (world().root()) fs::rename(output(), even);
  world().barrier();
  EXPECT_EQ(run(three, 1, 2), ExitCode::finished);
  if (world().root()) {
    const auto risk = [](const std::string& path) {
      return DataReader(path).numbers("bayes/risk").data;
    };
    const auto done = [](const std::string& path) {
      return DataReader(path).numbers("sweep/done").data;
    };
    merge_sweeps(merged, {even}, false, "");
    EXPECT_EQ(done(merged), (std::vector<double>{1, 0, 1}));
    EXPECT_FALSE(DataReader(merged).has("provenance/finished"));
    merge_sweeps(merged, {even, output()}, true, "");
    EXPECT_EQ(done(merged), (std::vector<double>{1, 1, 1}));
    EXPECT_EQ(risk(merged), (std::vector<double>{risk(even)[0], risk(output())[1], risk(even)[2]}));
    EXPECT_TRUE(DataReader(merged).has("provenance/finished"));
  }
  world().barrier();
}

/// The first member that its sections refuse is named.
TEST_F(DistributedSweepRun, checksAllMembers) {
  const auto refusal = [&](const std::string& sweep_text) {
    return with_input(base + sweep_text, [&](const Configuration& input, const Sweep& sweep) {
      try {
        check_members(world(), sweep, input.request(), Control::none());
      } catch (const InputError& error) {
        return std::string(error.what());
      }
      return std::string();
    });
  };
  EXPECT_EQ(refusal("[sweep]\n'population.replicates' = [2, 4]\nrepeats = 2\n"), "");
  for (const char* values : {"[1]", "[2, 1]", "[1, 2]", "[2, 4, 8, 1, 1, 16]"})
    EXPECT_NE(
        refusal(std::string("[sweep]\n'population.replicates' = ") + values + "\nrepeats = 2\n")
            .find("sweep member population.replicates=1"),
        std::string::npos)
        << values;
}

}  // namespace
}  // namespace headflow
