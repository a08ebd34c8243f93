#!/usr/bin/env bash
# The one test command: installs what the tests need, then checks, tests, and drives the built gateway against the
# real parts. Every stage runs even when a former one failed; see the summary and the exit code.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${DOORWARD_CACHE:-$HOME/.cache/doorward}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export PATH="$PATH:$cache/venv/bin"
# What is compiled once here is not changed and compiled again, and the files for that would fill the cache.
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}

summary=()
failed=0

stage() {
  local name=$1 began=$SECONDS verdict=passed
  shift
  printf '\n=== %s ===\n' "$name"
  "$@" || { verdict=FAILED; failed=1; }
  summary+=("$(printf '%-8s %-7s %5d s' "$name" "$verdict" $((SECONDS - began)))")
}

finish() {
  printf '\n=== summary ===\n'
  printf '%s\n' "${summary[@]}"
  printf '%-16s %5d s\n' total "$SECONDS"
  exit "$failed"
}

stage install bash tests/install.sh
if ((failed)); then finish; fi
stage check just check
stage test just test
stage python just python
stage budget just bench-check
stage wheel just wheel-check
stage e2e just e2e
finish
