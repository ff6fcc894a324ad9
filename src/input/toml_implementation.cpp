// toml++, compiled once: other sources see its declarations alone (TOML_HEADER_ONLY=0).
#define TOML_IMPLEMENTATION
#include <toml++/toml.h>
