#include <fcntl.h>
#include <hdf5_hl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "core/checksum.hpp"
#include "core/data_file.hpp"
#include "core/hdf5_handle.hpp"
#include "core/named.hpp"
#include "core/paths.hpp"

namespace headflow {
namespace {

void write_attribute(hid_t object, const std::string& name, const std::string& value) {
  const Hdf5Type type(H5Tcopy(H5T_C_S1), name);
  hdf5_check(H5Tset_size(type, std::max<std::size_t>(value.size(), 1)), name);
  hdf5_check(H5Tset_strpad(type, H5T_STR_NULLPAD), name);
  hdf5_check(H5Tset_cset(type, H5T_CSET_UTF8), name);
  const Hdf5Space space(H5Screate(H5S_SCALAR), name);
  const Hdf5Attribute attribute(
      H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), name);
  hdf5_check(H5Awrite(attribute, type, value.c_str()), name);
}

void write_text(hid_t group, const std::string& name, const std::string& value) {
  const Hdf5Type type(H5Tcopy(H5T_C_S1), name);
  hdf5_check(H5Tset_size(type, H5T_VARIABLE), name);
  hdf5_check(H5Tset_cset(type, H5T_CSET_UTF8), name);
  const Hdf5Space space(H5Screate(H5S_SCALAR), name);
  const Hdf5Dataset dataset(
      H5Dcreate2(group, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), name);
  const char* text = value.c_str();
  hdf5_check(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text), name);
}

/// Creation order is tracked everywhere: netCDF readers need it.
Hdf5Properties ordered(hid_t property_class) {
  Hdf5Properties properties(H5Pcreate(property_class), "creation order");
  const unsigned flags = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  hdf5_check(H5Pset_link_creation_order(properties, flags), "link order");
  hdf5_check(H5Pset_attr_creation_order(properties, flags), "attribute order");
  return properties;
}

Hdf5Group create_group(hid_t file, const std::string& name) {
  return Hdf5Group(
      H5Gcreate2(file, name.c_str(), H5P_DEFAULT, ordered(H5P_GROUP_CREATE), H5P_DEFAULT), name);
}

/// Writes this rank's part of a dataset; collective.
void write_slab(hid_t dataset, const std::string& name, const Slab& slab,
                const std::vector<double>& data) {
  const Hdf5Space file(H5Dget_space(dataset), name);
  const std::vector<hsize_t> offset(slab.offset.begin(), slab.offset.end());
  const std::vector<hsize_t> count(slab.count.begin(), slab.count.end());
  const Hdf5Space memory(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr),
                         name);
  if (data.empty()) {
    hdf5_check(H5Sselect_none(file), name);
    hdf5_check(H5Sselect_none(memory), name);
  } else {
    hdf5_check(
        H5Sselect_hyperslab(file, H5S_SELECT_SET, offset.data(), nullptr, count.data(), nullptr),
        name);
  }
  const Hdf5Properties transfer(H5Pcreate(H5P_DATASET_XFER), name);
  hdf5_check(H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE), name);
  hdf5_check(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, memory, file, transfer, data.data()), name);
}

/// The file's space for numbers over `axes`.
Hdf5Space space_of(const std::vector<const Dimension*>& axes, const std::string& name) {
  if (axes.empty()) return Hdf5Space(H5Screate(H5S_SCALAR), name);
  std::vector<hsize_t> extent;
  std::vector<hsize_t> most;
  for (const Dimension* axis : axes) {
    extent.push_back(axis->values.size());
    most.push_back(axis->unlimited ? H5S_UNLIMITED : extent.back());
  }
  const auto rank = static_cast<int>(axes.size());
  return Hdf5Space(H5Screate_simple(rank, extent.data(), most.data()), name);
}

/// How a dataset over `axes` lies on the disk: in chunks along an unlimited axis; with `reserve`
/// its room is taken and not filled.
Hdf5Properties layout_of(const std::vector<const Dimension*>& axes, const std::string& name,
                         bool reserve) {
  Hdf5Properties layout(H5Pcreate(H5P_DATASET_CREATE), name);
  hdf5_check(H5Pset_attr_creation_order(layout, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED),
             name);
  hsize_t record = 1;  // numbers for one index of the unlimited axis
  for (const Dimension* axis : axes)
    if (!axis->unlimited) record *= std::max<hsize_t>(axis->values.size(), 1);
  std::vector<hsize_t> chunk;
  bool chunked = false;
  for (const Dimension* axis : axes) {
    chunk.push_back(axis->unlimited ? records_in_chunk(record)
                                    : std::max<hsize_t>(axis->values.size(), 1));
    chunked = chunked || axis->unlimited;
  }
  if (chunked) hdf5_check(H5Pset_chunk(layout, static_cast<int>(chunk.size()), chunk.data()), name);
  if (reserve) {
    hdf5_check(H5Pset_alloc_time(layout, H5D_ALLOC_TIME_EARLY), name);
    hdf5_check(H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER), name);
  }
  return layout;
}

/// Creates a dataset over `axes` and writes its numbers; with `reserve` it only takes the room.
Hdf5Dataset write_numbers(hid_t group, const std::string& name,
                          const std::vector<const Dimension*>& axes,
                          const std::vector<double>& data, bool whole, bool reserve = false) {
  Hdf5Dataset dataset(
      H5Dcreate2(group, name.c_str(), whole ? H5T_STD_I32LE : H5T_IEEE_F64LE, space_of(axes, name),
                 H5P_DEFAULT, layout_of(axes, name, reserve), H5P_DEFAULT),
      name);
  if (!reserve && !data.empty())
    hdf5_check(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, data.data()),
               name);
  return dataset;
}

bool is_whole(const Dimension& dimension) {
  return !dimension.unlimited &&
         std::all_of(dimension.values.begin(), dimension.values.end(),
                     [](double x) { return x == std::floor(x) && std::abs(x) < 1e9; });
}

void write_group(hid_t file, const DataGroup& content) {
  const Hdf5Group group = create_group(file, content.name);
  std::vector<Hdf5Dataset> scales;
  for (const auto& dimension : content.dimensions) {
    scales.push_back(
        write_numbers(group, dimension.name, {&dimension}, dimension.values, is_whole(dimension)));
    hdf5_check(H5DSset_scale(scales.back(), dimension.name.c_str()), dimension.name);
    write_attribute(scales.back(), "units", dimension.units);
    write_attribute(scales.back(), "long_name", dimension.long_name);
  }
  for (const auto& variable : content.variables) {
    std::vector<const Dimension*> axes;
    for (const auto& axis : variable.axes)
      axes.push_back(&at(content.dimensions, axis, "group " + content.name + " has no axis"));
    const Hdf5Dataset dataset =
        write_numbers(group, variable.name, axes, variable.data, false, variable.slab.has_value());
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const hid_t scale = scales[static_cast<std::size_t>(axes[i] - content.dimensions.data())];
      hdf5_check(H5DSattach_scale(dataset, scale, static_cast<unsigned>(i)), variable.name);
    }
    write_attribute(dataset, "units", variable.units);
    write_attribute(dataset, "long_name", variable.long_name);
  }
}

/// Everything but the slabs, for which it takes the room on the disk: by one process, so that a
/// full disk is one error and not a collective call that some ranks never reach.
void write_contents(const std::string& path, const DataFile& content) {
  {
    const Hdf5File file(
        H5Fcreate(path.c_str(), H5F_ACC_TRUNC, ordered(H5P_FILE_CREATE), H5P_DEFAULT),
        "create " + path);
    for (const auto& [name, value] : content.attributes) write_attribute(file, name, value);
    write_attribute(file, "format_version", std::to_string(file_format_version));
    write_attribute(file, "readable_by", file_readers);
    {
      const Hdf5Group provenance = create_group(file, "provenance");
      for (const auto& [name, value] : content.provenance) write_text(provenance, name, value);
    }
    for (const auto& group : content.groups) write_group(file, group);
    hdf5_check(H5Fflush(file, H5F_SCOPE_GLOBAL), "flush " + path);
  }
  const int descriptor = ::open(path.c_str(), O_RDWR);
  const int failed =
      descriptor < 0
          ? errno
          : ::posix_fallocate(descriptor, 0, static_cast<off_t>(std::filesystem::file_size(path)));
  if (descriptor >= 0) ::close(descriptor);
  if (failed != 0) throw FileError(std::strerror(failed));
}

bool has_slabs(const DataFile& content) {
  for (const auto& group : content.groups)
    for (const auto& variable : group.variables)
      if (variable.slab) return true;
  return false;
}

/// The slabs of all ranks; collective.
void write_slabs(const Communicator& comm, const std::string& path, const DataFile& content) {
  const Hdf5Properties access(H5Pcreate(H5P_FILE_ACCESS), "MPI-IO");
  hdf5_check(H5Pset_fapl_mpio(access, comm.handle(), MPI_INFO_NULL), "MPI-IO");
  Hdf5SharedFile file(H5Fopen(path.c_str(), H5F_ACC_RDWR, access), "open " + path);
  for (const auto& group : content.groups)
    for (const auto& variable : group.variables) {
      if (!variable.slab) continue;
      const std::string name = group.name + "/" + variable.name;
      const Hdf5Dataset dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name);
      write_slab(dataset, name, *variable.slab, variable.data);
    }
  file.finish("close " + path);
}

void sync(const std::string& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags);
  if (descriptor < 0 || ::fsync(descriptor) != 0) {
    const std::string reason = std::strerror(errno);
    if (descriptor >= 0) ::close(descriptor);
    throw FileError("cannot write " + path + ": " + reason);
  }
  ::close(descriptor);
}

}  // namespace

std::size_t records_in_chunk(std::size_t numbers) {
  return std::clamp<std::size_t>(32768 / numbers, 1, 256);
}

void write_data_file(const Communicator& comm, const std::string& name, const DataFile& content) {
  quiet_hdf5();
  std::string path;
  comm.on_root([&] { path = follow_links(name); });
  path = comm.broadcast(path);
  const std::string temporary = part_of_file(path);
  try {
    comm.on_root([&] { write_contents(temporary, content); });
    if (has_slabs(content)) write_slabs(comm, temporary, content);
  } catch (const Error& error) {
    const char* const advice =
        " (is the disk full? If Open MPI's own MPI-IO hangs or fails, try another: "
        "mpirun --mca io ^ompio)";
    throw FileError("cannot write " + temporary + ": " + error.what() +
                    (error.code() == ExitCode::file_failure ? advice : ""));
  }
  comm.on_root([&] {
    append_checksum(temporary);
    sync(temporary, O_RDONLY);
    std::filesystem::rename(temporary, path);
    const auto folder = std::filesystem::path(path).parent_path();
    sync(folder.empty() ? "." : folder.string(), O_RDONLY | O_DIRECTORY);
  });
}

}  // namespace headflow
