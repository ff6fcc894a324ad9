#pragma once
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/hdf5_handle.hpp"
#include "core/named.hpp"
#include "headflow/core/mpi.hpp"

namespace headflow {

/// What every file says of its shape, in its root attributes format_version and readable_by. The
/// version rises when the readers of before would take a file for what it is not
/// (src/CHANGELOG.md).
inline constexpr int file_format_version = 1;
inline constexpr const char* file_readers = "headflow 0.1.0 or newer";

/// A file of a format that only later versions of the program can read.
struct NewerFormat : FileError {
  using FileError::FileError;
};

/// An axis of a group with its values: becomes a dimension scale.
struct Dimension {
  std::string name;
  std::vector<double> values;
  bool unlimited = false;
  std::string units = "1";
  std::string long_name;
};

/// The part of a large array that one rank holds: where it begins and its extent along each axis.
struct Slab {
  std::vector<std::size_t> offset;
  std::vector<std::size_t> count;
};

/// Numbers over some of a group's axes (none: a scalar), last axis fastest. With a `slab` the data
/// are this rank's part alone.
struct Variable {
  std::string name;
  std::vector<std::string> axes;
  std::vector<double> data;
  std::string units = "1";
  std::string long_name;
  std::optional<Slab> slab{};
  bool wall_time = false;  ///< a measured time, which no two runs share
};

struct DataGroup {
  std::string name;
  std::vector<Dimension> dimensions;
  std::vector<Variable> variables;

  /// The axis of that name. Throws std::logic_error when there is none.
  const Dimension& dimension(const std::string& axis) const {
    return at(dimensions, axis, "group " + name + " has no axis");
  }
  /// The extents of a variable.
  std::vector<std::size_t> shape_of(const Variable& variable) const {
    std::vector<std::size_t> shape;
    for (const auto& axis : variable.axes) shape.push_back(dimension(axis).values.size());
    return shape;
  }
};

/// What goes into a file: root attributes, texts (group /provenance) and groups of numbers.
struct DataFile {
  std::map<std::string, std::string> attributes;
  std::map<std::string, std::string> provenance;
  std::deque<DataGroup> groups;  ///< a deque, so that references stay valid while groups are added

  DataGroup& add_group(const std::string& name) {
    return groups.emplace_back(DataGroup{.name = name, .dimensions = {}, .variables = {}});
  }
};

/// Records of so many numbers in a chunk of an axis that grows, which is on the disk in full: at
/// most 256 KB, or one record.
std::size_t records_in_chunk(std::size_t numbers);

/// Writes `content` (the same on every rank, but for slabs) to `path` as HDF5 in the shape of
/// netCDF-4: dimension scales on every axis, units and long names, so that h5py, xarray and the
/// netCDF tools open it. Rank 0 writes all but the slabs, for which it takes the room on the disk;
/// these all ranks write together through parallel HDF5 (contiguous, collective). The file appears
/// under its name only when it is complete (temporary name, fsync, rename): whenever the program is
/// killed, `path` is either the file of before or the new one, at the end of its symbolic links,
/// which stay. It ends with a checksum (checksum.hpp). Every axis of a variable must be
/// a dimension of its group. Collective. Throws FileError: on every rank alike when rank 0 fails,
/// on one rank alone when its slab cannot be written.
void write_data_file(const Communicator& comm, const std::string& path, const DataFile& content);

/// Numbers read back, with their shape.
struct Numbers {
  std::vector<std::size_t> shape;
  std::vector<double> data;
};

/// Reading, by one process, of a file that the user has named. Names are paths in the file. Throws
/// InputError when the file, or a dataset or text that is asked for, is not there, FileError when
/// HDF5 cannot read it, and NewerFormat when a later version of headflow is needed.
class DataReader {
 public:
  /// Throws InputError when the bytes do not fit the checksum at its end, for HDF5 may crash on a
  /// damaged file; files without, of other programs or changed by them, are taken as they are.
  explicit DataReader(const std::string& path);
  /// Of a file whose checksum has been found intact already.
  struct Intact {};
  DataReader(const std::string& path, Intact);

  const std::string& path() const { return path_; }
  /// Whether there is a group or dataset of that name.
  bool has(const std::string& name) const;
  Numbers numbers(const std::string& name) const;
  /// A part of a dataset; the shape is that of the part.
  Numbers numbers(const std::string& name, const Slab& part) const;
  std::string text(const std::string& name) const;
  /// Text attributes of the root, a group or a dataset.
  std::map<std::string, std::string> attributes(const std::string& object = "/") const;
  /// Names of the axes of a dataset; its own for that of an axis. Throws InputError when an axis
  /// has no name.
  std::vector<std::string> axes(const std::string& name) const;
  /// Names in a group, in the order of creation.
  std::vector<std::string> members(const std::string& group) const;

 private:
  void require_known_format() const;
  Hdf5Dataset dataset(const std::string& name, const char* kind = "dataset") const;

  std::string path_;
  Hdf5File file_;
};

}  // namespace headflow
