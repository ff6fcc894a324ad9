#include "core/paths.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <system_error>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view hdf5_suffix = ".h5";

/// X of X.h5; the whole of any other name.
std::string_view without_suffix(std::string_view path) {
  if (path.ends_with(hdf5_suffix)) path.remove_suffix(hdf5_suffix.size());
  return path;
}

/// Whether `name` ends in "KIND-" and digits.
bool is_numbered(std::string_view name, std::string_view kind) {
  const std::size_t last = name.find_last_not_of("0123456789");
  return last + 1 < name.size() && name.substr(0, last + 1).ends_with(kind);
}

}  // namespace

std::string follow_links(const std::string& path) {
  constexpr int most = 40;  // as Linux
  fs::path place = path;
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(place, error)); ++links) {
    const fs::path target = fs::read_symlink(place, error);
    if (links == most || error)
      throw InputError(path + ": " + (error ? error.message() : "too many symbolic links"));
    place = target.is_absolute() ? target : place.parent_path() / target;
  }
  return place.string();
}

std::string obstacle_at(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0)
    return errno == ENOENT ? "" : "cannot be used: " + std::string(std::strerror(errno));
  if (S_ISREG(status.st_mode)) return "";
  if (S_ISDIR(status.st_mode)) return "is a folder";
  if (S_ISFIFO(status.st_mode)) return "is a named pipe";
  if (S_ISSOCK(status.st_mode)) return "is a socket";
  return "is a device";
}

std::string companion(const std::string& output, const std::string& kind) {
  const std::string_view stem = without_suffix(output);
  const bool hdf5 = stem.size() < output.size();
  return std::string(stem) + "." + kind + (hdf5 ? std::string(hdf5_suffix) : "");
}

std::string part_of_file(const std::string& path) { return path + ".part"; }

std::string stop_file(const std::string& output) { return output + ".stop"; }

std::string lock_file(const std::string& output) { return output + ".lock"; }

bool is_companion(const std::string& path) {
  for (const std::string_view suffix : {".part", ".stop", ".lock"})
    if (path.ends_with(suffix)) return true;
  const std::string_view stem = without_suffix(path);
  return is_numbered(stem, ".checkpoint-") || is_numbered(stem, ".weights-");
}

}  // namespace headflow
