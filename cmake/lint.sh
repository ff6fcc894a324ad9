#!/usr/bin/env bash
# Looks at the sources without making programs of them.
# usage: cmake/lint.sh [format|shell|python|clang|tidy ..]     all if none is named; needs cmake/setup.sh --developer
#
#   format   clang-format finds nothing to change
#   shell    shellcheck of all scripts
#   python   flake8, with the choices of .flake8
#   clang    Clang's front end finds nothing to warn of in tests, benchmarks and each public header alone
#   tidy     nor in src, nor does clang-tidy, with the checks of .clang-tidy; several sources share what they include
#
# Exit code: 0 nothing found, 1 something found or no such stage, 77 nothing found, but a tool is missing.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# configure FOLDER [OPTION..]: FOLDER/compile_commands.json says what Clang is to look at.
configure() {
  cmake --preset developer -B "$1" -DCMAKE_CXX_COMPILER=clang++ "${@:2}" >/dev/null &&
    cmake --build "$1" --target headflow_git_revision >/dev/null
}

clang() {
  configure "$folder/clang" && cd "$folder/clang" &&
    python3 -c 'import json, sys
for one in json.load(open("compile_commands.json")):
  if not one["file"].startswith(sys.argv[1]): print(one["command"], "-fsyntax-only", end="\0")' "$top/src/" |
    xargs -0 -n 1 -P "$jobs" sh -c
}

tidy() {
  configure "$folder/tidy" -DCMAKE_UNITY_BUILD=ON -DHEADFLOW_TESTS=OFF -DHEADFLOW_BENCHMARKS=OFF || return
  # All but the public headers, which sources include, and what has toml++ alone.
  run-clang-tidy -p "$folder/tidy" -quiet -j "$jobs" '^(?!.*(_verify_interface_|toml_implementation))' \
    >"$folder/tidy/log" 2>&1 && return
  grep -E -A 4 '(warning|error): ' "$folder/tidy/log" || tail -n 40 "$folder/tidy/log"
  return 1
}

look() {
  case $1 in
    format) git ls-files -z '*.c' '*.cpp' '*.hpp' | xargs -0 clang-format --dry-run -Werror ;;
    shell) git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck -x ;;
    python) git grep -lzE '^#!.*python' -- ':!*.py' | cat - <(git ls-files -z '*.py') | xargs -0 flake8 ;;
    clang) clang ;;
    tidy) tidy ;;
  esac
}

# Other versions of clang-format break lines elsewhere, others of clang-tidy check other things: those of Debian 12 decide.
has() {
  case $1 in
    format | tidy) [[ $("clang-$1" --version 2>/dev/null) == *"version 14."* ]] ;;
    *) command -v "${tools[$1]}" >/dev/null ;;
  esac
}

declare -A tools=([format]="clang-format 14" [shell]=shellcheck [python]=flake8 [clang]=clang++ [tidy]="clang-tidy 14")
top=$PWD
folder=$(realpath -m "${HEADFLOW_BUILD_DIR:-build}")
jobs=$(compile_jobs)
(($#)) || set -- format shell python clang tidy
result=0
for stage; do
  if [[ -z ${tools[$stage]:-} ]]; then
    echo "lint: no stage '$stage'; there are format, shell, python, clang, tidy" >&2
    exit 1
  elif ! has "$stage"; then
    echo "lint: $stage IS LEFT OUT, NOTHING WAS LOOKED AT: no ${tools[$stage]} here (cmake/setup.sh --developer)" >&2
    ((result)) || result=77
  elif (look "$stage"); then
    echo "lint: $stage: no fault found"
  else
    echo "lint: $stage FAILED" >&2
    result=1
  fi
done
exit "$result"
