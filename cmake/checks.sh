#!/usr/bin/env bash
# All checks of the project, in stages with their times; all of them run, even if one fails.
# usage: [HEADFLOW_BUILD_DIR=FOLDER] cmake/checks.sh [STAGE..]     all if none is named
#
#   format, shell, python, clang, tidy   as cmake/lint.sh has them
#   sanitize    the tests in tests/unit, on 1 and 2 ranks, under the address, leak and undefined-behaviour sanitizers
#   build       the release preset, all targets; warnings of GCC are errors
#   tests       cmake/test.sh; it comes last, as what counts most
#
# Exit code: 0 all passed or were left out, as they loudly say, for lack of a tool; 1 one failed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Whether leaks can be looked for: not where processes may not be traced, as in some containers.
sees_leaks() {
  local folder result=0
  folder=$(mktemp -d)
  echo 'int main() {}' >"$folder/empty.cpp"
  g++ -fsanitize=address "$folder/empty.cpp" -o "$folder/empty" && "$folder/empty" || result=1
  rm -rf "$folder"
  return "$result"
}

sanitize() {
  if ! sees_leaks; then
    echo "checks: LEAKS ARE NOT LOOKED FOR: the leak sanitizer does not work here" >&2
    export ASAN_OPTIONS=detect_leaks=0
  fi
  build_dir=$(realpath -m "${HEADFLOW_BUILD_DIR:-build}")/sanitize
  build sanitize unit_tests
  ctest --test-dir "$build_dir" --no-tests=error -L '^unit$' -E on_3_ranks --output-on-failure --parallel "$(nproc)"
}

# At -O3, where GCC follows most of the flow, and is wrong of std::string (maybe-uninitialized). The build folder
# remembers the flags; the tests' own builds do not see them.
release() {
  cmake --preset release -B "$build_dir" "-DCMAKE_CXX_FLAGS=${CXXFLAGS:-} -Wall -Wextra -Wpedantic -Werror -Wno-maybe-uninitialized" >/dev/null
  build release
}

perform() {
  case $1 in
    sanitize) sanitize ;;
    build) release ;;
    tests) bash cmake/test.sh ;;
    *) bash cmake/lint.sh "$1" ;;
  esac
}

(($#)) || set -- format shell python clang tidy sanitize build tests
result=0
summary=()
bash cmake/setup.sh --developer || echo "checks: what is missing leaves stages out or fails them" >&2
for stage; do
  if [[ $stage == tests ]] && ((${#summary[@]})); then printf '=== %s\n' "so far:" "${summary[@]}"; fi
  echo "=== $stage"
  start=$SECONDS
  # Not as a condition, in which bash would go on after a command that fails.
  set +e
  (set -e && perform "$stage")
  code=$?
  set -e
  case $code in
    0) outcome=passed ;;
    77) outcome="LEFT OUT" ;;
    *) outcome=FAILED result=1 ;;
  esac
  summary+=("$(printf '%-9s %-9s %4d s' "$stage" "$outcome" $((SECONDS - start)))")
  if [[ $stage != tests ]]; then echo "=== ${summary[-1]}"; fi
done
exit "$result"
