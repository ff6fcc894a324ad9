#include "core/data_file.hpp"

#include <fcntl.h>
#include <hdf5.h>
#include <hdf5_hl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <utility>

#include "headflow/core/error.hpp"
#include "core/seal.hpp"

namespace headflow {
namespace {

/// An owned HDF5 identifier; the destructor never throws.
template <herr_t (*close)(hid_t)>
class Handle {
 public:
  Handle(hid_t id, const std::string& what) : id_(id) {
    if (id < 0)
      throw FileError("HDF5 failed at " + what +
                      " (is the disk full? On file systems without locks set "
                      "HDF5_USE_FILE_LOCKING=FALSE; if Open MPI's own "
                      "MPI-IO hangs or fails, try mpirun --mca io romio321)");
  }
  ~Handle() {
    if (id_ >= 0) close(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  operator hid_t() const noexcept { return id_; }

 private:
  hid_t id_;
};

using File = Handle<H5Fclose>;
using Group = Handle<H5Gclose>;
using Dataset = Handle<H5Dclose>;
using Space = Handle<H5Sclose>;
using Type = Handle<H5Tclose>;
using Attribute = Handle<H5Aclose>;
using Properties = Handle<H5Pclose>;

void check(herr_t code, const std::string& what) {
  if (code < 0) throw FileError("HDF5 failed at " + what + " (is the disk full?)");
}

void write_attribute(hid_t object, const std::string& name, const std::string& value) {
  const Type type(H5Tcopy(H5T_C_S1), name);
  check(H5Tset_size(type, std::max<std::size_t>(value.size(), 1)), name);
  check(H5Tset_strpad(type, H5T_STR_NULLPAD), name);
  check(H5Tset_cset(type, H5T_CSET_UTF8), name);
  const Space space(H5Screate(H5S_SCALAR), name);
  const Attribute attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                            name);
  check(H5Awrite(attribute, type, value.c_str()), name);
}

void write_text(hid_t group, const std::string& name, const std::string& value) {
  const Type type(H5Tcopy(H5T_C_S1), name);
  check(H5Tset_size(type, H5T_VARIABLE), name);
  check(H5Tset_cset(type, H5T_CSET_UTF8), name);
  const Space space(H5Screate(H5S_SCALAR), name);
  const Dataset dataset(
      H5Dcreate2(group, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), name);
  const char* text = value.c_str();
  check(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text), name);
}

/// Creation order is tracked everywhere: netCDF readers need it.
Properties ordered(hid_t property_class) {
  Properties properties(H5Pcreate(property_class), "creation order");
  const unsigned flags = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  check(H5Pset_link_creation_order(properties, flags), "link order");
  check(H5Pset_attr_creation_order(properties, flags), "attribute order");
  return properties;
}

Group create_group(hid_t file, const std::string& name) {
  return Group(H5Gcreate2(file, name.c_str(), H5P_DEFAULT, ordered(H5P_GROUP_CREATE), H5P_DEFAULT),
               name);
}

/// Writes this rank's part of a dataset; collective.
void write_slab(hid_t dataset, const std::string& name, const Slab& slab,
                const std::vector<double>& data) {
  const Space file(H5Dget_space(dataset), name);
  const std::vector<hsize_t> offset(slab.offset.begin(), slab.offset.end());
  const std::vector<hsize_t> count(slab.count.begin(), slab.count.end());
  const Space memory(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), name);
  if (data.empty()) {
    check(H5Sselect_none(file), name);
    check(H5Sselect_none(memory), name);
  } else {
    check(H5Sselect_hyperslab(file, H5S_SELECT_SET, offset.data(), nullptr, count.data(), nullptr),
          name);
  }
  const Properties transfer(H5Pcreate(H5P_DATASET_XFER), name);
  check(H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE), name);
  check(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, memory, file, transfer, data.data()), name);
}

/// Creates a dataset over `axes` and writes its numbers; with `reserve` it only takes the room.
Dataset write_numbers(hid_t group, const std::string& name,
                      const std::vector<const Dimension*>& axes, const std::vector<double>& data,
                      bool whole, bool reserve = false) {
  std::vector<hsize_t> extent;
  std::vector<hsize_t> most;
  std::vector<hsize_t> chunk;
  bool chunked = false;
  hsize_t record = 1;  // numbers for one index of the unlimited axis
  for (const Dimension* axis : axes)
    if (!axis->unlimited) record *= std::max<hsize_t>(axis->values.size(), 1);
  for (const Dimension* axis : axes) {
    extent.push_back(axis->values.size());
    most.push_back(axis->unlimited ? H5S_UNLIMITED : extent.back());
    // A chunk is on the disk in full: at most 256 KB of it, or one record.
    chunk.push_back(axis->unlimited ? std::clamp<hsize_t>(32768 / record, 1, 256)
                                    : std::max<hsize_t>(extent.back(), 1));
    chunked = chunked || axis->unlimited;
  }
  const Space space(
      axes.empty() ? H5Screate(H5S_SCALAR)
                   : H5Screate_simple(static_cast<int>(axes.size()), extent.data(), most.data()),
      name);
  const Properties properties(H5Pcreate(H5P_DATASET_CREATE), name);
  check(H5Pset_attr_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED),
        name);
  if (chunked) check(H5Pset_chunk(properties, static_cast<int>(chunk.size()), chunk.data()), name);
  if (reserve) {
    check(H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY), name);
    check(H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER), name);
  }
  const hid_t type = whole ? H5T_STD_I32LE : H5T_IEEE_F64LE;
  Dataset dataset(
      H5Dcreate2(group, name.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT), name);
  if (!reserve && !data.empty())
    check(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, data.data()), name);
  return dataset;
}

bool is_whole(const Dimension& dimension) {
  return !dimension.unlimited &&
         std::all_of(dimension.values.begin(), dimension.values.end(),
                     [](double x) { return x == std::floor(x) && std::abs(x) < 1e9; });
}

void write_group(hid_t file, const DataGroup& content) {
  const Group group = create_group(file, content.name);
  std::vector<Dataset> scales;
  for (const auto& dimension : content.dimensions) {
    scales.push_back(
        write_numbers(group, dimension.name, {&dimension}, dimension.values, is_whole(dimension)));
    check(H5DSset_scale(scales.back(), dimension.name.c_str()), dimension.name);
    write_attribute(scales.back(), "units", dimension.units);
    write_attribute(scales.back(), "long_name", dimension.long_name);
  }
  for (const auto& variable : content.variables) {
    std::vector<const Dimension*> axes;
    std::vector<std::size_t> numbers;
    for (const auto& axis : variable.axes) {
      const auto found = std::find_if(content.dimensions.begin(), content.dimensions.end(),
                                      [&](const Dimension& d) { return d.name == axis; });
      axes.push_back(&*found);
      numbers.push_back(static_cast<std::size_t>(found - content.dimensions.begin()));
    }
    const Dataset dataset =
        write_numbers(group, variable.name, axes, variable.data, false, variable.slab.has_value());
    for (std::size_t i = 0; i < numbers.size(); ++i)
      check(H5DSattach_scale(dataset, scales[numbers[i]], static_cast<unsigned>(i)), variable.name);
    write_attribute(dataset, "units", variable.units);
    write_attribute(dataset, "long_name", variable.long_name);
  }
}

/// Everything but the slabs, for which it takes the room on the disk: by one process, so that a
/// full disk is one error and not a collective call that some ranks never reach.
void write_contents(const std::string& path, const DataFile& content) {
  {
    const File file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, ordered(H5P_FILE_CREATE), H5P_DEFAULT),
                    "create " + path);
    for (const auto& [name, value] : content.attributes) write_attribute(file, name, value);
    {
      const Group provenance = create_group(file, "provenance");
      for (const auto& [name, value] : content.provenance) write_text(provenance, name, value);
    }
    for (const auto& group : content.groups) write_group(file, group);
    check(H5Fflush(file, H5F_SCOPE_GLOBAL), "flush " + path);
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
  const Properties access(H5Pcreate(H5P_FILE_ACCESS), "MPI-IO");
  check(H5Pset_fapl_mpio(access, comm.handle(), MPI_INFO_NULL), "MPI-IO");
  const File file(H5Fopen(path.c_str(), H5F_ACC_RDWR, access), "open " + path);
  for (const auto& group : content.groups)
    for (const auto& variable : group.variables) {
      if (!variable.slab) continue;
      const std::string name = group.name + "/" + variable.name;
      const Dataset dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name);
      write_slab(dataset, name, *variable.slab, variable.data);
    }
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

/// HDF5 prints its own stack of errors; what the user needs is in the exception.
void quiet() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

}  // namespace

void write_data_file(const Communicator& comm, const std::string& path, const DataFile& content,
                     bool sealed) {
  quiet();
  const std::string temporary = path + ".part";
  try {
    comm.on_root([&] { write_contents(temporary, content); });
    if (has_slabs(content)) write_slabs(comm, temporary, content);
  } catch (const Error& error) {
    throw FileError("cannot write " + temporary + ": " + error.what());
  }
  comm.on_root([&] {
    if (sealed) seal_file(temporary);
    sync(temporary, O_RDONLY);
    std::filesystem::rename(temporary, path);
    const auto folder = std::filesystem::path(path).parent_path();
    sync(folder.empty() ? "." : folder.string(), O_RDONLY | O_DIRECTORY);
  });
}

DataReader::DataReader(const std::string& path) : path_(path) {
  quiet();
  file_ = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file_ < 0)
    throw InputError(
        "cannot open " + path +
        (std::filesystem::exists(path) ? ": not a readable HDF5 file" : ": no such file"));
}

DataReader::~DataReader() { H5Fclose(file_); }

bool DataReader::has(const std::string& name) const {
  // Every group on the way must exist before HDF5 may be asked for the last name.
  for (std::size_t slash = name.find('/'); slash != std::string::npos;
       slash = name.find('/', slash + 1))
    if (slash > 0 && H5Lexists(file_, name.substr(0, slash).c_str(), H5P_DEFAULT) <= 0)
      return false;
  return H5Lexists(file_, name.c_str(), H5P_DEFAULT) > 0;
}

Numbers DataReader::numbers(const std::string& name) const {
  if (!has(name)) throw InputError(path_ + " has no dataset " + name);
  const Dataset dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), path_ + ": " + name);
  const Space space(H5Dget_space(dataset), name);
  const int rank = H5Sget_simple_extent_ndims(space);
  std::vector<hsize_t> extent(static_cast<std::size_t>(std::max(rank, 1)), 1);
  H5Sget_simple_extent_dims(space, extent.data(), nullptr);
  extent.resize(static_cast<std::size_t>(std::max(rank, 0)));
  Numbers numbers{{extent.begin(), extent.end()}, {}};
  numbers.data.resize(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
  check(H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data.data()),
        path_ + ": " + name);
  return numbers;
}

Numbers DataReader::numbers(const std::string& name, const Slab& part) const {
  if (!has(name)) throw InputError(path_ + " has no dataset " + name);
  const Dataset dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), path_ + ": " + name);
  const Space space(H5Dget_space(dataset), name);
  const std::vector<hsize_t> offset(part.offset.begin(), part.offset.end());
  const std::vector<hsize_t> count(part.count.begin(), part.count.end());
  const Space memory(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), name);
  check(H5Sselect_hyperslab(space, H5S_SELECT_SET, offset.data(), nullptr, count.data(), nullptr),
        name);
  Numbers numbers{part.count, {}};
  numbers.data.resize(static_cast<std::size_t>(H5Sget_select_npoints(space)));
  check(H5Dread(dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, numbers.data.data()),
        path_ + ": " + name);
  return numbers;
}

std::string DataReader::text(const std::string& name) const {
  if (!has(name)) throw InputError(path_ + " has no text " + name);
  const Dataset dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), path_ + ": " + name);
  const Type type(H5Tcopy(H5T_C_S1), name);
  check(H5Tset_size(type, H5T_VARIABLE), name);
  check(H5Tset_cset(type, H5T_CSET_UTF8), name);
  char* text = nullptr;
  check(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text), path_ + ": " + name);
  std::string value = text == nullptr ? "" : text;
  H5free_memory(text);
  return value;
}

std::map<std::string, std::string> DataReader::attributes(const std::string& name) const {
  std::map<std::string, std::string> found;
  const auto visit = [](hid_t object, const char* key, const H5A_info_t*, void* out) -> herr_t {
    const Attribute attribute(H5Aopen(object, key, H5P_DEFAULT), key);
    const Type type(H5Aget_type(attribute), key);
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0) return 0;
    std::string value(H5Tget_size(type), '\0');
    if (H5Aread(attribute, type, value.data()) < 0) return 0;
    value.resize(std::strlen(value.c_str()));
    (*static_cast<std::map<std::string, std::string>*>(out))[key] = value;
    return 0;
  };
  H5Aiterate_by_name(file_, name.c_str(), H5_INDEX_NAME, H5_ITER_INC, nullptr, visit, &found,
                     H5P_DEFAULT);
  return found;
}

std::vector<std::string> DataReader::axes(const std::string& name) const {
  const Dataset dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), path_ + ": " + name);
  if (H5DSis_scale(dataset) > 0) return {name.substr(name.rfind('/') + 1)};
  const Space space(H5Dget_space(dataset), name);
  std::vector<std::string> axes;
  const auto visit = [](hid_t, unsigned, hid_t scale, void* out) -> herr_t {
    std::string path(256, '\0');
    H5Iget_name(scale, path.data(), path.size());
    path.resize(std::strlen(path.c_str()));
    static_cast<std::vector<std::string>*>(out)->push_back(path.substr(path.rfind('/') + 1));
    return 1;  // one is enough
  };
  for (int i = 0; i < H5Sget_simple_extent_ndims(space); ++i)
    H5DSiterate_scales(dataset, static_cast<unsigned>(i), nullptr, visit, &axes);
  return axes;
}

std::vector<std::string> DataReader::members(const std::string& group) const {
  std::vector<std::string> names;
  const auto visit = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  const Group handle(H5Gopen2(file_, group.c_str(), H5P_DEFAULT), path_ + ": " + group);
  if (H5Literate(handle, H5_INDEX_CRT_ORDER, H5_ITER_INC, nullptr, visit, &names) < 0)
    H5Literate(handle, H5_INDEX_NAME, H5_ITER_INC, nullptr, visit, &names);
  return names;
}

}  // namespace headflow
