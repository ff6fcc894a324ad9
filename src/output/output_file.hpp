#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/data_file.hpp"
#include "core/stopwatch.hpp"

namespace headflow {

/// Whether the file is written again, so many seconds after a write that took `write_seconds`: at
/// the earliest after `every`, and after so long that at most 2 % of the time goes into writing.
/// With `every` = 0 always.
bool update_is_due(double seconds, double every, double write_seconds);

/// The output of a run in memory, and its file. Series are small, so the whole file is written anew
/// at each update and replaces the last one at once: a reader, or a kill at any time, always finds
/// a complete file.
class OutputFile {
 public:
  /// `every`: seconds between updates, as for update_is_due().
  OutputFile(const Communicator& comm, std::string path, double every,
             std::map<std::string, std::string> attributes);

  /// Adds to the provenance of the next write.
  void provenance(const std::string& name, const std::string& text) {
    content_.provenance[name] = text;
  }
  /// Writes everything when it is time, the first time at once. Collective.
  void update();
  /// Writes everything now. Collective.
  void write();
  const std::string& path() const { return path_; }
  /// What is written; its groups are filled from outside.
  DataFile& content() { return content_; }

 private:
  const Communicator& comm_;
  std::string path_;
  double every_;
  DataFile content_;
  bool written_ = false;
  Stopwatch since_write_;
  double write_seconds_ = 0;
};

/// Throws InputError unless each of these files, the output first, can be made or replaced: when
/// one is the input or no regular file, when its folder is not there or not writable, when its name
/// is too long or that of a file beside another output. Collective.
void require_room(const Communicator& comm, const std::vector<std::string>& files,
                  const std::string& input);
/// Throws InputError when there is a file of that name. Collective.
void require_new(const Communicator& comm, const std::string& path);

}  // namespace headflow
