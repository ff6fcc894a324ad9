#pragma once
#include <string>

namespace headflow {

/// `path` with the symbolic links in its last place followed, also to where nothing is yet: a file
/// that is replaced there leaves the links as they are. Throws InputError for a loop of links.
std::string follow_links(const std::string& path);

/// Why no regular file can be read or made at `path`: "is a folder", "is a named pipe", .., or what
/// the system says of it. Empty where a regular file is, or nothing.
std::string obstacle_at(const std::string& path);

/// A file beside `output` that belongs to it: X.KIND.h5 beside X.h5, OUTPUT.KIND beside any other.
/// Different outputs have different ones, unless is_companion() is true of one of them.
std::string companion(const std::string& output, const std::string& kind);
/// The temporary file from which `path` is made.
std::string part_of_file(const std::string& path);
/// The file that stops a run with that output.
std::string stop_file(const std::string& output);
/// The file that says which run writes that output.
std::string lock_file(const std::string& output);
/// Whether a file of that name may belong to another output.
bool is_companion(const std::string& path);

}  // namespace headflow
