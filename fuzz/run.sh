#!/usr/bin/env bash
# Runs fuzz targets, each until it has found no new coverage for a while of processor time.
#
#   bash fuzz/run.sh [minutes=10] [jobs=1] [TARGET…]     without a TARGET: all of them
#   bash fuzz/run.sh corpus [TARGET…]                    adds what was found to the committed corpora, minimised
#
# New inputs go to fuzz/target/corpus, inputs that break a property to fuzz/artifacts. The exit code is 1 if there are any.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${DOORWARD_CACHE:-$HOME/.cache/doorward}
# shellcheck source=tests/versions.env
source tests/versions.env
export PATH="$cache/cargo-tools/bin:$PATH"

# The code under test forbids `unsafe`, so the address sanitizer would only make the targets slower.
flags=(--sanitizer none)
# The longest input, in bytes: enough for each format, and short enough that a corpus stays readable.
longest=1024
# The most bytes and inputs of a committed corpus: each test run replays them all.
most_bytes=14000 most_inputs=120

minutes=10 jobs=1 action=run targets=()
for argument in "$@"; do
  case $argument in
    minutes=*) minutes=${argument#*=} ;;
    jobs=*) jobs=${argument#*=} ;;
    corpus) action=corpus ;;
    *) targets+=("$argument") ;;
  esac
done
((minutes > 0 && jobs > 0)) || { echo "minutes and jobs are numbers from 1" >&2; exit 2; }
if ((${#targets[@]} == 0)); then
  for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

install() {
  command -v cargo-fuzz >/dev/null && return
  CARGO_TARGET_DIR="$cache/cargo-fuzz-build" \
    cargo install cargo-fuzz --version "$CARGO_FUZZ_VERSION" --locked --root "$cache/cargo-tools"
  rm -rf "$cache/cargo-fuzz-build"
}

# seconds FILE: the processor time of a shell's children, from what `times` wrote.
seconds() {
  awk 'NR == 2 { gsub(/[ms]/, " "); $0 = $0; print int($1 * 60 + $2 + $3 * 60 + $4) }' "$1"
}

# quiet TARGET: fuzzes in rounds, until those without new coverage have used $minutes of processor time. The clock on the wall would
# call a target quiet that a busy machine kept waiting.
quiet() {
  local target=$1 found="fuzz/target/corpus/$1" log="fuzz/target/$1.log" wanted=$((minutes * 60))
  local words=() before after=0 runs=0 executed verdict=quiet spent=0 used=0 now left
  mkdir -p "$found" "fuzz/corpus/$target"
  if [[ -f fuzz/dictionaries/$target.dict ]]; then words=("-dict=fuzz/dictionaries/$target.dict"); fi
  while ((spent < wanted)); do
    left=$((wanted - spent))
    cargo +nightly fuzz run "${flags[@]}" "$target" "$found" "fuzz/corpus/$target" -- -max_len="$longest" -timeout=60 \
      ${words[@]+"${words[@]}"} -max_total_time=$((left < 20 ? 20 : left)) -print_final_stats=1 >"$log" 2>&1 ||
      verdict="BROKEN: see $log and fuzz/artifacts/$target"
    times >"$log.times"
    now=$(seconds "$log.times")
    before=$(sed -n 's/.*INITED cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    after=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    runs=$((runs + ${executed:-0}))
    if [[ $verdict != quiet ]]; then break; fi
    spent=$((after > before ? 0 : spent + now - used))
    used=$now
  done
  printf '%-16s %6d s  %11d runs  %6s edges  %s\n' "$target" "$used" "$runs" "$after" "$verdict"
  [[ $verdict == quiet ]]
}

# collect TARGET: adds the found inputs that reach new code to the committed ones, the smallest first.
collect() {
  local target=$1 all sum count size file
  all=$(mktemp -d)
  cp -r "fuzz/corpus/$target/." "$all"
  if [[ -d fuzz/target/corpus/$target ]]; then cp -r "fuzz/target/corpus/$target/." "$all"; fi
  cargo +nightly fuzz cmin "${flags[@]}" "$target" "$all" -- -max_len="$longest" -use_counters=0 >/dev/null 2>&1
  sum=$(find "fuzz/corpus/$target" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')
  count=$(find "fuzz/corpus/$target" -type f | wc -l)
  while read -r size file; do
    if [[ ! -e fuzz/corpus/$target/$file ]] && ((sum + size <= most_bytes && count < most_inputs)); then
      cp "$all/$file" "fuzz/corpus/$target/$file"
      sum=$((sum + size)) count=$((count + 1))
    fi
  done < <(find "$all" -type f -printf '%s %f\n' | sort -n)
  rm -rf "$all"
  printf '%-14s %4d inputs  %6d bytes\n' "$target" "$count" "$sum"
}

install
cargo +nightly fuzz build "${flags[@]}"
failed=0
if [[ $action == corpus ]]; then
  for target in "${targets[@]}"; do collect "$target"; done
else
  running=0
  for target in "${targets[@]}"; do
    if ((running == jobs)); then
      wait -n || failed=1
      running=$((running - 1))
    fi
    quiet "$target" &
    running=$((running + 1))
  done
  while ((running > 0)); do
    wait -n || failed=1
    running=$((running - 1))
  done
fi
exit "$failed"
