#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/data_file.hpp"
#include "core/hdf5_handle.hpp"
#include "headflow/core/error.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using testing_support::world;
namespace fs = std::filesystem;

/// A folder of this test's own, the same for all ranks.
class DistributedDataFile : public testing::Test {
 protected:
  DistributedDataFile() {
    folder_ = world().broadcast(
        (fs::temp_directory_path() / ("headflow-" + std::to_string(getpid()))).string());
    if (world().root()) fs::create_directory(folder_);
    world().barrier();
  }
  ~DistributedDataFile() override {
    world().barrier();
    if (world().root()) fs::remove_all(folder_);
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  static DataFile content(std::vector<double> times) {
    DataFile file;
    file.attributes["title"] = "a test";
    file.provenance["input"] = "[model]\ntokens = 4\n";
    DataGroup& group = file.groups.emplace_back();
    group.name = "flow";
    group.dimensions = {{.name = "time", .values = times, .unlimited = true, .long_name = "time"},
                        {.name = "head", .values = {1, 2}, .long_name = "head"}};
    Variable b{"b", {"time", "head"}, {}, "1", "bias"};
    for (std::size_t i = 0; i < 2 * times.size(); ++i)
      b.data.push_back(0.1 * static_cast<double>(i));
    group.variables = {b, {"scalar", {}, {2.5}, "1", "a number"}};
    return file;
  }

  std::string folder_;
};

TEST_F(DistributedDataFile, comesBackAsItWasWritten) {
  write_data_file(world(), path("a.h5"), content({0, 0.5, 2}));
  const DataReader reader(path("a.h5"));
  EXPECT_EQ(reader.attributes().at("title"), "a test");
  EXPECT_EQ(reader.text("provenance/input"), "[model]\ntokens = 4\n");
  const Numbers b = reader.numbers("flow/b");
  EXPECT_EQ(b.shape, (std::vector<std::size_t>{3, 2}));
  EXPECT_EQ(b.data[5], 0.5);
  EXPECT_EQ(reader.numbers("flow/time").data, (std::vector<double>{0, 0.5, 2}));
  EXPECT_TRUE(reader.numbers("flow/scalar").shape.empty());
  EXPECT_EQ(reader.members("/flow"), (std::vector<std::string>{"time", "head", "b", "scalar"}));
  EXPECT_FALSE(fs::exists(path("a.h5.part")));
}

TEST_F(DistributedDataFile, aNewVersionReplacesTheOldAtOnce) {
  write_data_file(world(), path("a.h5"), content({0}));
  write_data_file(world(), path("a.h5"), content({0, 1}));
  EXPECT_EQ(DataReader(path("a.h5")).numbers("flow/time").data.size(), 2u);
}

TEST_F(DistributedDataFile, errorsNameTheFileOnEveryRank) {
  try {
    write_data_file(world(), path("missing/a.h5"), content({0}));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::file_failure);
    EXPECT_NE(std::string(error.what()).find("missing/a.h5"), std::string::npos);
  }
}

TEST_F(DistributedDataFile, readingRefusesWhatIsNotThere) {
  EXPECT_THROW(DataReader(path("none.h5")), InputError);
  if (world().root()) std::ofstream(path("text.h5")) << "no HDF5";
  world().barrier();
  EXPECT_THROW(DataReader(path("text.h5")), InputError);
  write_data_file(world(), path("a.h5"), content({0}));
  EXPECT_THROW(DataReader(path("a.h5")).numbers("flow/nothing"), InputError);
  EXPECT_THROW(DataReader(path("a.h5")).numbers("no/group/here"), InputError);
}

TEST_F(DistributedDataFile, aMisspeltAxisIsNamedOnEveryRank) {
  DataFile wrong = content({0});
  wrong.groups[0].variables[0].axes[1] = "haed";
  try {
    write_data_file(world(), path("a.h5"), wrong);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("group flow has no axis haed"), std::string::npos)
        << error.what();
  }
}

TEST_F(DistributedDataFile, axesHaveTheirWholeNames) {
  const std::string name(300, 'x');
  DataFile file = content({0});
  file.groups[0].dimensions[1].name = file.groups[0].variables[0].axes[1] = name;
  write_data_file(world(), path("a.h5"), file);
  const DataReader reader(path("a.h5"));
  EXPECT_EQ(reader.axes("flow/b"), (std::vector<std::string>{"time", name}));
  EXPECT_EQ(reader.axes("flow/time"), (std::vector<std::string>{"time"}));
  EXPECT_TRUE(reader.axes("flow/scalar").empty());
  EXPECT_EQ(reader.attributes("flow/b").at("long_name"), "bias");
  EXPECT_THROW(reader.attributes("flow/nothing"), FileError);
  EXPECT_THROW(reader.members("nothing"), FileError);
  EXPECT_THROW(reader.axes("flow/nothing"), InputError);
}

TEST_F(DistributedDataFile, anAxisThatIsGoneIsAnError) {
  for (const bool dangling : {false, true}) {
    const std::string name = path(dangling ? "dangling.h5" : "gone.h5");
    write_data_file(world(), name, content({0}));
    if (world().root()) {
      const Hdf5File file(H5Fopen(name.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), name);
      hdf5_check(H5Ldelete(file, "flow/head", H5P_DEFAULT), name);
      if (dangling)
        hdf5_check(H5Lcreate_soft("/none", file, "flow/head", H5P_DEFAULT, H5P_DEFAULT), name);
      const DataReader reader(name, DataReader::Intact{});
      EXPECT_THROW(reader.axes("flow/b"), InputError);
      EXPECT_THROW(reader.axes("flow/head"), InputError);
      EXPECT_EQ(reader.axes("flow/time"), (std::vector<std::string>{"time"}));
    }
    world().barrier();
  }
}

TEST_F(DistributedDataFile, anAttributeOfAnotherKindLeavesNothingOpen) {
  write_data_file(world(), path("a.h5"), content({0}));
  if (world().root()) {
    const Hdf5File file(H5Fopen(path("a.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT), "open");
    const Hdf5Space scalar(H5Screate(H5S_SCALAR), "space");
    const auto open = [&] { return H5Fget_obj_count(file, H5F_OBJ_ALL); };
    hdf5_check(H5Adelete_by_name(file, "flow/head", "CLASS", H5P_DEFAULT), "CLASS");
    Hdf5Attribute(H5Acreate_by_name(file, "flow/head", "CLASS", H5T_NATIVE_INT, scalar, H5P_DEFAULT,
                                    H5P_DEFAULT, H5P_DEFAULT),
                  "CLASS");
    const DataReader reader(path("a.h5"), DataReader::Intact{});
    const auto before = open();
    EXPECT_THROW(reader.axes("flow/head"), InputError);
    EXPECT_EQ(open(), before);
  }
  world().barrier();
}

TEST_F(DistributedDataFile, aDatasetWithoutNumbersIsAnError) {
  write_data_file(world(), path("a.h5"), content({0}));
  if (world().root()) {
    const Hdf5File file(H5Fopen(path("a.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT), "open");
    const Hdf5Space empty(H5Screate(H5S_NULL), "space");
    const Hdf5Dataset null(H5Dcreate2(file, "flow/null", H5T_NATIVE_DOUBLE, empty, H5P_DEFAULT,
                                      H5P_DEFAULT, H5P_DEFAULT),
                           "null");
    const DataReader reader(path("a.h5"), DataReader::Intact{});
    EXPECT_THROW(reader.numbers("flow/null"), InputError);
    EXPECT_EQ(reader.numbers("flow/scalar").data, (std::vector<double>{2.5}));
  }
  world().barrier();
}

TEST_F(DistributedDataFile, everyRankWritesItsSlab) {
  const auto rank = static_cast<std::size_t>(world().rank());
  const auto size = static_cast<std::size_t>(world().size());
  DataFile file;
  DataGroup& group = file.add_group("group");
  group.dimensions = {{.name = "x", .values = std::vector<double>(size, 0), .long_name = "x"}};
  group.variables = {{.name = "all",
                      .axes = {"x"},
                      .data = {static_cast<double>(rank)},
                      .long_name = "all",
                      .slab = Slab{{rank}, {1}}}};
  write_data_file(world(), path("a.h5"), file);
  const Numbers all = DataReader(path("a.h5")).numbers("group/all");
  for (std::size_t i = 0; i < size; ++i) EXPECT_EQ(all.data.at(i), static_cast<double>(i));
}

}  // namespace
}  // namespace headflow
