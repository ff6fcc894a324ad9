#include "core/checksum.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <vector>

#include "core/hash.hpp"
#include "core/paths.hpp"
#include "headflow/core/error.hpp"

namespace headflow {
namespace {

constexpr std::uint64_t magic = 0x6c61657368776f66;  // "fowhseal"
using Checksum = std::array<std::uint64_t, 3>;       // magic, length, hash

/// Hash of the first `length` bytes; nothing when they cannot be read.
std::optional<std::uint64_t> hash_of(std::ifstream& file, std::uint64_t length) {
  std::vector<char> buffer(std::size_t{1} << 20);
  Hash hash(length);
  file.seekg(0);
  for (std::uint64_t left = length; left > 0;) {
    const std::size_t count = std::min<std::uint64_t>(left, buffer.size());
    std::fill(buffer.begin() + static_cast<std::ptrdiff_t>(count), buffer.end(), 0);
    if (!file.read(buffer.data(), static_cast<std::streamsize>(count))) return std::nullopt;
    for (std::size_t i = 0; i < count; i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, &buffer[i], 8);
      hash.add(word);
    }
    left -= count;
  }
  return hash.value();
}

std::uint64_t length_of(std::ifstream& file) {
  file.seekg(0, std::ios::end);
  return static_cast<std::uint64_t>(file.tellg());
}

}  // namespace

void append_checksum(const std::string& path) {
  Checksum checksum{magic};
  {
    std::ifstream file(path, std::ios::binary);
    checksum[1] = length_of(file);
    const auto hash = hash_of(file, checksum[1]);
    if (!hash) throw FileError("cannot read " + path + " back");
    checksum[2] = *hash;
  }
  std::ofstream file(path, std::ios::binary | std::ios::app);
  file.write(reinterpret_cast<const char*>(checksum.data()), sizeof checksum);
  file.flush();
  if (!file) throw FileError("cannot write " + path + " (is the disk full?)");
}

ChecksumState checksum_of(const std::string& path) {
  using enum ChecksumState;
  if (!obstacle_at(path).empty()) return none;
  std::ifstream file(path, std::ios::binary);
  if (!file) return none;
  const std::uint64_t length = length_of(file);
  Checksum checksum{};
  if (length < sizeof checksum) return none;
  file.seekg(-static_cast<std::streamoff>(sizeof checksum), std::ios::end);
  if (!file.read(reinterpret_cast<char*>(checksum.data()), sizeof checksum)) return none;
  if (checksum[0] != magic) return none;
  const bool whole = checksum[1] == length - sizeof checksum;
  return whole && hash_of(file, checksum[1]) == checksum[2] ? intact : broken;
}

}  // namespace headflow
