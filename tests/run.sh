#!/bin/bash
# Installs what is missing, builds, and runs every test; the last line counts them.
#
#   tests/run.sh [--full] [--only STAGE[,STAGE…]] [--no-install]
#
# Stages: install clients build tidy unit contract integration e2e chaos stack asan tsan; --full adds bench, the slow tests
# (label `full`) and the integration tests under the sanitizers. Servers are private ones of deploy/local/stack, ended and
# deleted at the end, whatever happens. SLUICE_VOCAB_DIR: folder of real vocabularies (optional).
# shellcheck disable=SC2317  # functions are called by name, by way of `stage` and `call`
set -uo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1
STACK=deploy/local/stack
STACK_NAME=test-$$
RESULTS=$ROOT/build/test-results
OUT=$RESULTS/$$  # runs at the same time keep apart
FULL=0
ONLY=
INSTALL=1

while (($#)); do
  case $1 in
    --full) FULL=1 ;;
    --only)
      ONLY=${2:-}
      shift
      ;;
    --no-install) INSTALL=0 ;;
    *)
      sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
  esac
  shift
done

mkdir -p "$OUT"
find "$RESULTS" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +
TOTALS=$OUT/totals
: >"$TOTALS"
FAILED_STAGES=()
CHILD=
AHEAD=

# Runs in the background, in a process group of its own, and waits: so a signal to us is answered at once and
# reaches everything that the command started.
call() {
  set -m
  "$@" </dev/null &
  CHILD=$!
  set +m
  wait "$CHILD"
  local code=$?
  CHILD=
  return "$code"
}

stack_down() {
  [[ -d .local/stacks/$STACK_NAME ]] || return 0
  mkdir -p "$OUT/logs"
  cp -r ".local/stacks/$STACK_NAME/logs/." "$OUT/logs/" 2>/dev/null
  "$STACK" down --name "$STACK_NAME" --purge >/dev/null
}

interrupted() {
  end_build_ahead
  if [[ -n $CHILD ]]; then
    kill -TERM -- "-$CHILD" 2>/dev/null
    wait "$CHILD" 2>/dev/null
  fi
  echo 'tests: interrupted' >&2
  exit 130
}
trap interrupted INT TERM HUP
trap 'end_build_ahead; stack_down' EXIT

# wanted STAGE: --only doesn't leave it out.
wanted() {
  [[ -z $ONLY || ",$ONLY," == *",$1,"* ]]
}

# stage NAME COMMAND…: runs it unless --only leaves it out, and says how long it took.
stage() {
  local name=$1 began=$SECONDS code=0
  shift
  wanted "$name" || return 0
  printf '\n== %s\n' "$name"
  "$@" || code=$?
  ((code == 0)) || FAILED_STAGES+=("$name")
  printf '== %s: %s, %d s\n' "$name" "$( ((code == 0)) && echo ok || echo FAILED)" $((SECONDS - began))
  return "$code"
}

# A stage that can't run at all counts as one failure.
broken() {
  printf 'tests: %s\n' "$*" >&2
  echo '0 1 0' >>"$TOTALS"
  return 1
}

jobs_max() {
  local cores available
  cores=$(nproc)
  available=$(awk '/^MemAvailable:/ {print int($2 / 1572864)}' /proc/meminfo)
  ((available < 1)) && available=1
  echo $((available < cores ? available : cores))
}

# build PRESET TARGET…
build() {
  local preset=$1
  shift
  call cmake --preset "$preset" >"$OUT/configure-$preset.log" 2>&1 || {
    tail -n 30 "$OUT/configure-$preset.log" >&2
    broken "preset $preset can't be configured"
    return 1
  }
  local targets=() known target
  known=$(cmake --build --preset "$preset" --target help 2>/dev/null)
  for target in "$@"; do
    # A label that no test has is no target either.
    [[ $target == all || $known == *"$target:"* ]] && targets+=(--target "$target")
  done
  ((${#targets[@]})) || return 0
  call cmake --build --preset "$preset" --parallel "$(jobs_max)" "${targets[@]}" >"$OUT/build-$preset.log" 2>&1 || {
    grep -A15 -E '^FAILED|error:' "$OUT/build-$preset.log" | head -n 60 >&2
    broken "preset $preset does not build; all of its output is in $OUT/build-$preset.log"
    return 1
  }
}

# Builds for the sanitizers beside stages that wait for servers more than they compute: in a session of its own, so that its
# priority is the lowest of all, and on half of the CPUs: each answer between a test and a server would wait for a CPU otherwise,
# if only for milliseconds, and a test of the database has thousands of them. Where a sanitizer's stage begins, this ends; ninja goes on from what is there.
build_ahead() {
  local presets=()
  wanted asan && presets+=(asan-ubsan)
  wanted tsan && presets+=(tsan)
  ((${#presets[@]})) || return 0
  # shellcheck disable=SC2016  # expands in that shell
  setsid bash -c '
    { echo 19 >/proc/self/autogroup; renice -n 19 $$; } >/dev/null 2>&1
    jobs=$1; shift
    for preset; do
      cmake --preset "$preset" && cmake --build --preset "$preset" --parallel "$jobs" --target tests-unit --target tests-contract
    done' ahead "$((($(jobs_max) + 1) / 2))" "${presets[@]}" </dev/null >"$OUT/build-ahead.log" 2>&1 &
  AHEAD=$!
}

end_build_ahead() {
  [[ -n $AHEAD ]] || return 0
  kill -TERM -- "-$AHEAD" 2>/dev/null
  wait "$AHEAD" 2>/dev/null
  # Two ninjas in one folder would be one too many.
  while kill -0 -- "-$AHEAD" 2>/dev/null; do sleep 0.1; done
  AHEAD=
}

# run_ctest PRESET LABEL [OPTION…]
run_ctest() {
  local preset=$1 label=$2 report=$OUT/$1-$2.xml excluded=(-LE '^full$')
  shift 2
  ((FULL)) && excluded=()
  # ctest's own verdict isn't needed: the report has one for each test.
  call ctest --test-dir "build/$preset" -L "^$label\$" "${excluded[@]}" --output-junit "$report" --output-on-failure \
    --no-tests=ignore "$@" >"$OUT/$preset-$label.log" 2>&1
  # "CMake Error": a program that can't even list its tests.
  if [[ ! -f $report ]] || grep -q 'CMake Error' "$OUT/$preset-$label.log"; then
    tail -n 30 "$OUT/$preset-$label.log" >&2
    broken "the tests of $preset labelled $label could not be run"
    return 1
  fi
  if ! python3 tests/tally.py junit "$report" "$TOTALS"; then
    grep -vE '^ *[0-9]+/[0-9]+ Test .*Passed|^ +Start +[0-9]+:' "$OUT/$preset-$label.log" | tail -n 150 >&2
    return 1
  fi
}

# servers COMMAND…: runs a command with the settings of running servers in its environment.
servers() {
  call "$STACK" up --name "$STACK_NAME" --only mysql,redis,rabbitmq || {
    broken 'the servers do not start'
    return 1
  }
  call with_settings "$@"
}

with_settings() {
  local settings
  trap - EXIT
  trap interrupted INT TERM HUP
  settings=$("$STACK" env --name "$STACK_NAME") || return 1
  set -a
  eval "$settings"
  set +a
  "$@"
}

# Others' clients, that tests of e2e drive against us. Without npm or a registry those tests are skipped.
install_clients() {
  local code=0
  call tests/clients/install || code=$?
  ((code == 0 || code == 4)) || broken 'packages in tests/clients can not be installed'
}

run_python() {
  if [[ -z $(find "$1" -name '*_test.py' 2>/dev/null) ]]; then
    return 0
  fi
  call python3 tests/tally.py python "$1" "$TOTALS" 2>&1
}

# The end-to-end tests start stacks of their own, with this build's programs.
run_e2e() {
  local code=0
  run_ctest test e2e -j1 || code=1
  SLUICE_BIN=$ROOT/build/test/bin run_python tests/e2e || code=1
  return "$code"
}

# A short one; tests/chaos/run.py makes long ones.
run_chaos() {
  SLUICE_BIN=$ROOT/build/test/bin run_python tests/chaos
}

sanitizers() {
  local preset=$1 code=0
  end_build_ahead
  build "$preset" tests-unit tests-contract || return 1
  run_ctest "$preset" unit -j "$(nproc)" || code=1
  servers run_ctest "$preset" contract -j1 || code=1
  if ((FULL)); then
    build "$preset" tests-integration || return 1
    servers run_ctest "$preset" integration -j1 || code=1
  fi
  return "$code"
}

run_benches() {
  local bench code=0
  for bench in build/test/bin/*_bench; do
    [[ -x $bench ]] || continue
    if call "$bench" --benchmark_min_time=0.01 >"$OUT/${bench##*/}.log" 2>&1; then
      echo '1 0 0' >>"$TOTALS"
    else
      tail -n 20 "$OUT/${bench##*/}.log" >&2
      broken "${bench##*/} failed"
      code=1
    fi
  done
  return "$code"
}

finish() {
  local passed failed skipped
  read -r passed failed skipped < <(python3 tests/tally.py sum "$TOTALS")
  printf '\nTook %d s. Reports and logs: %s\n' "$SECONDS" "${OUT#"$ROOT"/}"
  ((${#FAILED_STAGES[@]} == 0)) || printf 'Failed: %s\n' "${FAILED_STAGES[*]}"
  # The last line must be the last: end the stacks before it.
  trap - EXIT
  end_build_ahead
  stack_down
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  ((failed == 0 && ${#FAILED_STAGES[@]} == 0))
}

# A function, so that all of this file is read before anything of it runs.
main() {
  if ((INSTALL)); then
    if ! stage install deploy/install.sh --npm; then
      broken 'not everything that is needed is installed'
      finish
      return 1
    fi
    stage clients install_clients
  fi
  if ! stage build build test all; then
    finish
    return 1
  fi
  stage tidy run_python tests/tidy
  stage unit run_ctest test unit -j "$(nproc)"
  build_ahead
  stage contract servers run_ctest test contract -j1
  stage integration servers run_ctest test integration -j1
  stage e2e run_e2e
  stage chaos run_chaos
  stage stack run_python tests/stack
  stage asan sanitizers asan-ubsan
  stage tsan sanitizers tsan
  ((FULL)) && stage bench run_benches
  finish
}

main
exit
