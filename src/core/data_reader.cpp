#include <hdf5_hl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/callback_guard.hpp"
#include "core/checksum.hpp"
#include "core/data_file.hpp"
#include "core/paths.hpp"

namespace headflow {
namespace {

Hdf5File open_file(const std::string& path) {
  quiet_hdf5();
  if (const std::string obstacle = obstacle_at(path); !obstacle.empty())
    throw InputError("cannot open " + path + ": it " + obstacle);
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  std::error_code ignored;
  if (file < 0)
    throw InputError(
        "cannot open " + path +
        (std::filesystem::exists(path, ignored) ? ": not a readable HDF5 file" : ": no such file"));
  return Hdf5File(file, path);
}

void require_intact(const std::string& path) {
  if (obstacle_at(path).empty() && checksum_of(path) == ChecksumState::broken)
    throw InputError("cannot open " + path + ": it is damaged, its checksum differs");
}

/// What a visit of HDF5's iterations fills in.
template <class Found>
struct Visit {
  Found found;
  CallbackGuard guard{};
};

/// The text attribute `key` of `object`, if it is of fixed length.
std::optional<std::string> text_attribute(hid_t object, const char* key) {
  const Hdf5Attribute attribute(H5Aopen(object, key, H5P_DEFAULT), key);
  const Hdf5Type type(H5Aget_type(attribute), key);
  if (H5Tget_class(type) != H5T_STRING || hdf5_check(H5Tis_variable_str(type), key) > 0)
    return std::nullopt;
  std::string value(H5Tget_size(type), '\0');
  hdf5_check(H5Aread(attribute, type, value.data()), key);
  value.resize(std::strlen(value.c_str()));
  return value;
}

std::string last_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// The name of an object without those of its groups.
std::string name_of(hid_t object) {
  const auto length = static_cast<std::size_t>(hdf5_check(H5Iget_name(object, nullptr, 0), "name"));
  std::string path(length, '\0');
  hdf5_check(H5Iget_name(object, path.data(), length + 1), "name");
  return last_name(path);
}

/// Whether a dataset holds the coordinates of an axis. H5DSis_scale leaves objects open where CLASS
/// is no text.
bool is_scale(hid_t dataset) {
  return H5Aexists(dataset, "CLASS") > 0 && text_attribute(dataset, "CLASS") == "DIMENSION_SCALE";
}

/// What the attribute of the netCDF-4 and HDF5 conventions refers to, for each axis the first:
/// empty where that is no longer in the file. H5DSiterate_scales would end the process there.
std::vector<std::string> names_of_scales(hid_t dataset) {
  const char* const key = "DIMENSION_LIST";
  if (H5Aexists(dataset, key) <= 0) return {};
  const Hdf5Attribute attribute(H5Aopen(dataset, key, H5P_DEFAULT), key);
  const Hdf5Space space(H5Aget_space(attribute), key);
  const Hdf5Type type(H5Tvlen_create(H5T_STD_REF_OBJ), key);
  std::vector<hvl_t> lists(
      static_cast<std::size_t>(hdf5_check(H5Sget_simple_extent_npoints(space), key)));
  if (H5Aread(attribute, type, lists.data()) < 0) return {};
  std::vector<std::string> names;
  for (const hvl_t& list : lists) {
    const hid_t scale =
        list.len > 0 ? H5Rdereference2(dataset, H5P_DEFAULT, H5R_OBJECT, list.p) : H5I_INVALID_HID;
    names.push_back(scale >= 0 ? name_of(Hdf5Object(scale, key)) : "");
  }
  hdf5_check(H5Dvlen_reclaim(type, space, H5P_DEFAULT, lists.data()), key);
  return names;
}

}  // namespace

DataReader::DataReader(const std::string& path)
    : DataReader((require_intact(path), path), Intact{}) {}

DataReader::DataReader(const std::string& path, Intact) : path_(path), file_(open_file(path)) {
  require_known_format();
}

void DataReader::require_known_format() const {
  auto of_file = attributes();  // of any file: those of before, or of others, have no version
  if (std::atoi(of_file["format_version"].c_str()) <= file_format_version) return;
  throw NewerFormat(path_ + " has the format " + of_file["format_version"] + ", which needs " +
                    of_file["readable_by"] + "; this program reads formats up to " +
                    std::to_string(file_format_version));
}

bool DataReader::has(const std::string& name) const {
  // Every group on the way must exist before HDF5 may be asked for the last name, and that name may
  // be a link to nowhere.
  for (std::size_t slash = name.find('/'); slash != std::string::npos;
       slash = name.find('/', slash + 1))
    if (slash > 0 && H5Lexists(file_, name.substr(0, slash).c_str(), H5P_DEFAULT) <= 0)
      return false;
  return H5Lexists(file_, name.c_str(), H5P_DEFAULT) > 0 &&
         (name == "/" || H5Oexists_by_name(file_, name.c_str(), H5P_DEFAULT) > 0);
}

Hdf5Dataset DataReader::dataset(const std::string& name, const char* kind) const {
  if (!has(name)) throw InputError(path_ + " has no " + kind + " " + name);
  return Hdf5Dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), path_ + ": " + name);
}

Numbers DataReader::numbers(const std::string& name) const {
  const Hdf5Dataset dataset = this->dataset(name);
  const std::string what = path_ + ": " + name;
  const Hdf5Space space(H5Dget_space(dataset), what);
  if (H5Sget_simple_extent_type(space) == H5S_NULL)  // no number, although it has no axes
    throw InputError(what + " is empty");
  std::vector<hsize_t> extent(
      static_cast<std::size_t>(hdf5_check(H5Sget_simple_extent_ndims(space), what)));
  hdf5_check(H5Sget_simple_extent_dims(space, extent.data(), nullptr), what);
  Numbers numbers{{extent.begin(), extent.end()}, {}};
  numbers.data.resize(
      static_cast<std::size_t>(hdf5_check(H5Sget_simple_extent_npoints(space), what)));
  hdf5_check(
      H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data.data()),
      what);
  return numbers;
}

Numbers DataReader::numbers(const std::string& name, const Slab& part) const {
  const Hdf5Dataset dataset = this->dataset(name);
  const std::string what = path_ + ": " + name;
  const Hdf5Space space(H5Dget_space(dataset), what);
  const std::vector<hsize_t> offset(part.offset.begin(), part.offset.end());
  const std::vector<hsize_t> count(part.count.begin(), part.count.end());
  const Hdf5Space memory(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr),
                         what);
  hdf5_check(
      H5Sselect_hyperslab(space, H5S_SELECT_SET, offset.data(), nullptr, count.data(), nullptr),
      what);
  Numbers numbers{part.count, {}};
  numbers.data.resize(static_cast<std::size_t>(hdf5_check(H5Sget_select_npoints(space), what)));
  hdf5_check(H5Dread(dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, numbers.data.data()),
             what);
  return numbers;
}

std::string DataReader::text(const std::string& name) const {
  const Hdf5Dataset dataset = this->dataset(name, "text");
  const std::string what = path_ + ": " + name;
  const Hdf5Type type(H5Tcopy(H5T_C_S1), what);
  hdf5_check(H5Tset_size(type, H5T_VARIABLE), what);
  hdf5_check(H5Tset_cset(type, H5T_CSET_UTF8), what);
  char* text = nullptr;
  hdf5_check(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text), what);
  std::string value = text == nullptr ? "" : text;
  hdf5_check(H5free_memory(text), what);
  return value;
}

std::map<std::string, std::string> DataReader::attributes(const std::string& name) const {
  Visit<std::map<std::string, std::string>> visit;
  const auto call = [](hid_t object, const char* key, const H5A_info_t*, void* context) {
    auto& all = *static_cast<decltype(visit)*>(context);
    return all.guard.run(herr_t{-1}, [&] {
      if (auto value = text_attribute(object, key)) all.found[key] = *std::move(value);
      return herr_t{0};
    });
  };
  const herr_t code = H5Aiterate_by_name(file_, name.c_str(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
                                         call, &visit, H5P_DEFAULT);
  visit.guard.rethrow();
  hdf5_check(code, path_ + ": attributes of " + name);
  return std::move(visit.found);
}

std::vector<std::string> DataReader::axes(const std::string& name) const {
  const Hdf5Dataset dataset = this->dataset(name);
  const std::string what = path_ + ": axes of " + name;
  const Hdf5Space space(H5Dget_space(dataset), what);
  const int rank = hdf5_check(H5Sget_simple_extent_ndims(space), what);
  if (rank == 1 && is_scale(dataset)) return {last_name(name)};
  std::vector<std::string> names;
  if (rank > 0) names = names_of_scales(dataset);
  names.resize(static_cast<std::size_t>(rank));
  const auto nameless = std::find(names.begin(), names.end(), "");
  if (nameless != names.end())
    throw InputError(path_ + ": axis " + std::to_string(nameless - names.begin() + 1) + " of " +
                     name + " has no name");
  return names;
}

std::vector<std::string> DataReader::members(const std::string& group) const {
  const std::string what = path_ + ": " + group;
  const Hdf5Group handle(H5Gopen2(file_, group.c_str(), H5P_DEFAULT), what);
  const Hdf5Properties properties(H5Gget_create_plist(handle), what);
  unsigned order = 0;
  hdf5_check(H5Pget_link_creation_order(properties, &order), what);
  Visit<std::vector<std::string>> visit;
  const auto call = [](hid_t, const char* name, const H5L_info_t*, void* context) {
    auto& all = *static_cast<decltype(visit)*>(context);
    return all.guard.run(herr_t{-1}, [&] {
      all.found.emplace_back(name);
      return herr_t{0};
    });
  };
  const H5_index_t index =
      (order & H5P_CRT_ORDER_TRACKED) != 0 ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
  const herr_t code = H5Literate(handle, index, H5_ITER_INC, nullptr, call, &visit);
  visit.guard.rethrow();
  hdf5_check(code, what);
  return std::move(visit.found);
}

}  // namespace headflow
