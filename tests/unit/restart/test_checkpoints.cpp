// Checkpoints are written in turn, found by their content, and no other file is touched.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "headflow/core/error.hpp"
#include "restart/checkpoints.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using testing_support::world;
namespace fs = std::filesystem;

/// A folder for one output, the same for all ranks.
class DistributedCheckpoints : public testing::Test {
 protected:
  DistributedCheckpoints() {
    folder_ = world().broadcast(
        (fs::temp_directory_path() / ("checkpoints-" + std::to_string(getpid()))).string());
    on_root([&] { fs::create_directory(folder_); });
  }
  ~DistributedCheckpoints() override {
    on_root([&] { fs::remove_all(folder_); });
  }
  /// Nobody goes on before it is done.
  static void on_root(auto&& work) {
    world().barrier();
    if (world().root()) work();
    world().barrier();
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string checkpoint(int place) const {
    return path("case.checkpoint-" + std::to_string(place) + ".h5");
  }
  Checkpoints checkpoints(int kept, const std::string& output = "case.h5") const {
    return {world(), path(output), kept};
  }
  void write_text(const std::string& path) const {
    on_root([&] { std::ofstream(path) << "a text"; });
  }
  /// Takes the file's second half away.
  void damage(const std::string& path) const {
    on_root([&] { fs::resize_file(path, fs::file_size(path) / 2); });
  }

  static DataFile content(double x) {
    DataFile file{.attributes = {{"title", "a test"}}, .provenance = {}, .groups = {}};
    Snapshot state;
    state.put("x", x);
    state.put("list", std::vector<double>{1, 2, 3});
    state.put("none", std::vector<double>{});
    file.groups.push_back(state_group("flow_state", state));
    return file;
  }
  static double x_of(const Checkpoint& checkpoint) {
    return checkpoint.snapshot("flow_state").number("x");
  }

  std::string folder_;
};

TEST_F(DistributedCheckpoints, areWrittenInTurnAndTheNewestIsTaken) {
  Checkpoints checkpoints = this->checkpoints(2);
  EXPECT_FALSE(checkpoints.newest());
  EXPECT_EQ(checkpoints.places(), (std::vector<std::string>{checkpoint(1), checkpoint(2)}));
  for (const double x : {0.5, 1.5, 2.5}) {
    DataFile file = content(x);
    checkpoints.write(file);
    EXPECT_EQ(file.attributes, content(x).attributes);
  }
  EXPECT_EQ(x_of(checkpoints.open(checkpoint(1))), 2.5);
  EXPECT_EQ(x_of(checkpoints.open(checkpoint(2))), 1.5);
  EXPECT_FALSE(fs::exists(checkpoint(3)));
  const auto newest = checkpoints.newest();
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->number, 3);
  EXPECT_EQ(newest->path, checkpoint(1));
  const Snapshot state = newest->snapshot("flow_state");
  EXPECT_EQ(state.list("list"), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(state.lists().size(), 2u) << "an empty list is left out";
  EXPECT_TRUE(newest->snapshot("sgd_state").empty());
  // One that goes on writes over the older of the two.
  Checkpoints later = this->checkpoints(2);
  later.continue_after(newest->number);
  DataFile file = content(3.5);
  later.write(file);
  EXPECT_EQ(x_of(later.open(checkpoint(2))), 3.5);
  EXPECT_EQ(x_of(later.open(checkpoint(1))), 2.5);
  // Fewer places than before: what there is more is found, and removed.
  const Checkpoints fewer = this->checkpoints(1);
  EXPECT_EQ(x_of(*fewer.newest()), 3.5);
  write_text(path("case.checkpoint-3.h5"));
  write_text(path("case.checkpoint-x.h5"));
  write_text(path("other.checkpoint-1.h5"));
  fewer.remove_all();
  world().barrier();
  EXPECT_FALSE(fs::exists(checkpoint(1)) || fs::exists(checkpoint(2)));
  for (const char* name : {"case.checkpoint-3.h5", "case.checkpoint-x.h5", "other.checkpoint-1.h5"})
    EXPECT_TRUE(fs::exists(path(name))) << name;
}

TEST_F(DistributedCheckpoints, theLastOneThatIsWholeIsTaken) {
  Checkpoints checkpoints = this->checkpoints(3);
  for (const double x : {0.5, 1.5, 2.5}) {
    DataFile file = content(x);
    checkpoints.write(file);
  }
  damage(checkpoint(3));
  EXPECT_EQ(x_of(*checkpoints.newest()), 1.5);
  EXPECT_THROW(checkpoints.open(checkpoint(3)), InputError);
  damage(checkpoint(2));
  EXPECT_EQ(x_of(*checkpoints.newest()), 0.5);
  damage(checkpoint(1));
  EXPECT_THROW(checkpoints.newest(), FileError);
}

TEST_F(DistributedCheckpoints, whatIsNoneIsRefused) {
  const Checkpoints checkpoints = this->checkpoints(2);
  write_data_file(world(), path("output.h5"), content(1));
  write_text(path("text.h5"));
  DataFile other = content(1);
  this->checkpoints(2, "other.h5").write(other);
  const auto refusal = [&](const std::string& path) -> std::string {
    try {
      checkpoints.open(path);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refusal(path("output.h5")).find("no checkpoint of this version"), std::string::npos);
  EXPECT_NE(refusal(path("text.h5")).find("no checkpoint"), std::string::npos);
  EXPECT_NE(refusal(path("none.h5")).find("none.h5"), std::string::npos);
  EXPECT_EQ(x_of(checkpoints.open(path("other.checkpoint-1.h5"))), 1) << "when it is named";
  // In the place of one's own it is not taken.
  on_root([&] { fs::copy_file(path("other.checkpoint-1.h5"), checkpoint(1)); });
  try {
    checkpoints.newest();
    FAIL() << "no error";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("not of output case.h5"), std::string::npos);
  }
  DataFile own = content(7);
  Checkpoints(world(), path("case.h5"), 2).write(own);  // over it
  EXPECT_EQ(x_of(*checkpoints.newest()), 7);
}

/// One whose number is no number is told apart by the same words on all ranks, and passed over.
TEST_F(DistributedCheckpoints, thatCannotBeReadArePassedOver) {
  Checkpoints checkpoints = this->checkpoints(2);
  DataFile file = content(1);
  checkpoints.write(file);
  file.attributes["format"] = checkpoints.newest()->file->attributes().at("format");
  file.attributes["checkpoint"] = "second";
  write_data_file(world(), checkpoint(2), file);
  EXPECT_THROW(checkpoints.open(checkpoint(2)), InputError);
  EXPECT_EQ(x_of(*checkpoints.newest()), 1);
}

TEST_F(DistributedCheckpoints, othersAreSetAside) {
  Checkpoints checkpoints = this->checkpoints(2);
  DataFile file = content(1);
  checkpoints.write(file);
  for (int time = 1; time <= 2; ++time) {
    write_text(checkpoint(2));
    checkpoints.make_room();
    EXPECT_TRUE(fs::exists(checkpoint(1)));
    EXPECT_FALSE(fs::exists(checkpoint(2)));
    EXPECT_TRUE(fs::exists(checkpoint(2) + ".set-aside-" + std::to_string(time)));
  }
}

/// Scalars stay as they are; series end with the last record that is not later.
TEST_F(DistributedCheckpoints, giveASeriesBackUpToATime) {
  const auto flow = [] {
    return DataGroup{
        .name = "flow",
        .dimensions = {{.name = "time", .values = {}, .unlimited = true, .long_name = "time"},
                       {.name = "head", .values = {1, 2}, .long_name = "head"}},
        .variables = {{.name = "b", .axes = {"time", "head"}, .data = {}, .long_name = "bias"},
                      {.name = "side", .axes = {"head"}, .data = {}, .long_name = "side"}}};
  };
  DataFile file = content(1);
  file.groups.push_back(flow());
  file.groups.back().dimensions[0].values = {0, 1, 2};
  file.groups.back().variables[0].data = {1, 2, 3, 4, 5, 6};
  file.groups.back().variables[1].data = {7, 8};
  Checkpoints checkpoints = this->checkpoints(1);
  checkpoints.write(file);
  const Checkpoint newest = checkpoints.newest().value();
  const std::pair<double, std::size_t> ends[] = {{-1, 0}, {0, 1}, {1.5, 2}, {9, 3}};
  for (const auto& [until, records] : ends) {
    DataGroup group = flow();
    newest.read_series(group, until);
    EXPECT_EQ(group.dimensions[0].values.size(), records) << until;
    const auto& b = group.variables[0].data;
    ASSERT_EQ(b.size(), 2 * records) << until;
    for (std::size_t i = 0; i < b.size(); ++i) EXPECT_EQ(b[i], static_cast<double>(i + 1));
    EXPECT_EQ(group.variables[1].data, (std::vector<double>{7, 8}));
  }
  DataGroup newer = flow();
  newer.variables.push_back({.name = "norm", .axes = {"time"}, .data = {}, .long_name = "norm"});
  try {
    newest.read_series(newer, 9);
    ADD_FAILURE() << "the checkpoint has no norm";
  } catch (const InputError& error) {
    EXPECT_EQ(std::string(error.what()).find("checkpoint " + newest.path + " has no variable"), 0);
  }
  DataGroup missing = flow();
  missing.name = "sgd";
  newest.read_series(missing, 9);
  EXPECT_TRUE(missing.variables[0].data.empty());
}

}  // namespace
}  // namespace headflow
