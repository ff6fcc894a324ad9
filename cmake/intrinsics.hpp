// Included ahead of every file of the build type Developer. GCC 12 takes the undefined registers in its own header of
// AVX-512, which Eigen's reductions call in most files, for uninitialised variables: these two warnings are silent for
// what stands in that header, and nowhere else.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
