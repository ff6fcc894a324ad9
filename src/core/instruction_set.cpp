// Compiled with the program's instruction set, holds data alone: what the build may use.
namespace headflow {

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
extern const int instruction_set_level = 2;
#elif defined(__AVX2__) && defined(__FMA__)
extern const int instruction_set_level = 1;
#else
extern const int instruction_set_level = 0;
#endif

}  // namespace headflow
