# In a repository of your own: spack repo create REPO; spack repo add REPO; copy this file to
# REPO/packages/headflow/package.py; then spack install headflow
from spack.package import *


class Headflow(CMakePackage):
    """How the heads of multi-head softmax attention specialize: order-parameter flow and SGD."""

    # The checked-out sources: spack dev-build headflow@0.1.0, or set `git` to where they are.
    git = "file:///path/to/headflow"
    version("0.1.0", branch="main")

    variant("shared", default=True, description="Build the library as a shared one")

    depends_on("cxx", type="build")
    depends_on("c", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type=("build", "run"))
    depends_on("mpi")
    depends_on("petsc@3.18:+mpi+double~complex")
    depends_on("hdf5+mpi+hl")
    depends_on("eigen@3.4:3")
    depends_on("fmt")
    depends_on("boost@1.74:", type="build")
    depends_on("random123", type="build")
    depends_on("tomlplusplus", type="build")
    depends_on("cli11", type="build")
    depends_on("python@3.11:", type=("build", "run"))
    depends_on("py-numpy", type=("build", "run"))
    depends_on("py-h5py", type=("build", "run"))
    depends_on("py-matplotlib", type=("build", "run"))
    depends_on("py-pillow", type=("build", "run"))
    depends_on("py-xarray", type="run")
    depends_on("py-tqdm", type="run")

    generator("ninja")

    def cmake_args(self):
        return [
            self.define_from_variant("BUILD_SHARED_LIBS", "shared"),
            self.define("HEADFLOW_TESTS", False),
            self.define("HEADFLOW_BENCHMARKS", False),
            # Spack's own wrapper adds the flags of the target; the kernels need to know it, too.
            self.define("HEADFLOW_ARCH", "native"),
        ]
