#pragma once
#include <hdf5.h>
#include <stdlib.h>

#include <string>
#include <utility>

#include "headflow/core/error.hpp"

namespace headflow {

/// `result` of a call to HDF5, an identifier, a count or a code. Throws FileError, which says what
/// was being done, when it is negative.
template <class Result>
Result hdf5_check(Result result, const std::string& what) {
  if (result < 0) throw FileError("HDF5 failed at " + what);
  return result;
}

/// An owned HDF5 identifier; `close` is the function that gives it back.
template <herr_t (*close)(hid_t)>
class Hdf5Handle {
 public:
  /// Throws FileError when `id` is none.
  Hdf5Handle(hid_t id, const std::string& what) : id_(hdf5_check(id, what)) {}
  ~Hdf5Handle() {
    if (id_ >= 0) close(id_);
  }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  operator hid_t() const noexcept { return id_; }
  /// Gives the identifier up: it is the caller's to close.
  hid_t release() noexcept { return std::exchange(id_, -1); }

 private:
  hid_t id_;
};

using Hdf5File = Hdf5Handle<H5Fclose>;
using Hdf5Group = Hdf5Handle<H5Gclose>;
using Hdf5Dataset = Hdf5Handle<H5Dclose>;
using Hdf5Object = Hdf5Handle<H5Oclose>;
using Hdf5Space = Hdf5Handle<H5Sclose>;
using Hdf5Type = Hdf5Handle<H5Tclose>;
using Hdf5Attribute = Hdf5Handle<H5Aclose>;
using Hdf5Properties = Hdf5Handle<H5Pclose>;

/// A file that all ranks have open through MPI-IO: to close it is collective, so while an exception
/// unwinds it stays open.
class Hdf5SharedFile : public Hdf5File {
 public:
  using Hdf5File::Hdf5File;
  ~Hdf5SharedFile() {
    if (unwinding_.now()) release();
  }
  Hdf5SharedFile(Hdf5SharedFile&&) = delete;
  /// Collective. Throws FileError when what is left to be written cannot be.
  void finish(const std::string& what) { hdf5_check(H5Fclose(release()), what); }

 private:
  Unwinding unwinding_;
};

/// HDF5 prints no stack of errors of its own from now on: what the user needs is in the exception.
/// It asks for no locks, which some file systems lack: files are replaced as a whole, and only the
/// run that holds an output's lock writes it.
inline void quiet_hdf5() {
  ::setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
  hdf5_check(H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr), "H5Eset_auto2");
}

}  // namespace headflow
