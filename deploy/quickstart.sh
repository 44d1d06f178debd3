#!/bin/bash
# From a fresh clone to answers: installs what is missing, builds, starts everything on this machine, and
# shows it at work. Run it again at any time; see --help.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HERE")
STACK=("$HERE/local/stack")
LOCAL=$ROOT/.local
BUILD=$ROOT/build/release
MODEL=$LOCAL/models/sluice-tiny-q8_0.gguf
WEIGHTS=$ROOT/models/sluice-tiny/sluice-tiny-f16.gguf
BUILD_LOG=$LOCAL/logs/build.log

usage() {
  cat <<'TEXT'
usage: deploy/quickstart.sh            set up, build, start and demonstrate
       deploy/quickstart.sh --no-demo  the same without the demonstration
       deploy/quickstart.sh --env      print SLUICE_URL, keys and SLUICE_BIN of what runs, for a shell to evaluate
       deploy/quickstart.sh --stop     end every process; the data stays
       deploy/quickstart.sh --stop --purge   and delete the data, too
SLUICE_MODEL=FILE serves that GGUF file instead of the bundled model, until a run without it.
Everything lives in .local/ and build/release/ of this folder. No system service is touched.
TEXT
}

# A relative path is the caller's.
OWN_MODEL=
if [[ -n ${SLUICE_MODEL:-} ]]; then OWN_MODEL=$(realpath -m -- "$SLUICE_MODEL"); fi
[[ $OWN_MODEL != "$MODEL" ]] || OWN_MODEL=  # As `stack env` says it for the bundled one.

fail() {
  printf '\nquickstart: %s\n' "$*" >&2
  exit 1
}

heading() {
  if [[ -t 1 && -z ${NO_COLOR:-} ]]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

# The stack of the quickstart, whatever the caller's shell points to.
stack() {
  local command=$1
  shift
  "${STACK[@]}" "$command" --name default "$@"
}

print_env() {
  local all
  if ! all=$(stack env 2>/dev/null) || ! grep -q '^SLUICE_URL=' <<<"$all"; then
    echo 'quickstart: nothing runs; deploy/quickstart.sh starts it' >&2
    return 1
  fi
  grep -E '^SLUICE_(URL|API_KEY|ADMIN_KEY|WEBHOOK_SECRET|BIN)=' <<<"$all"
}

stop() {
  command -v python3 >/dev/null || fail 'python3 is missing, so nothing of ours can be running'
  if [[ ${1:-} == --purge ]]; then
    stack down --purge
    rm -rf "$LOCAL/models" "$LOCAL/quickstart.lock"
    rmdir "$LOCAL" 2>/dev/null || true
  else
    stack down
  fi
}

# As many compilers as there are cores, and as there is memory for (the largest need 1.5 GB).
jobs_max() {
  local cores available
  cores=$(nproc)
  available=$(awk '/^MemAvailable:/ {print int($2 / 1572864)}' /proc/meminfo)
  ((available < 1)) && available=1
  echo $((available < cores ? available : cores))
}

build() {
  mkdir -p "${BUILD_LOG%/*}"
  local failed=0
  if [[ ! -f $BUILD/build.ninja ]]; then
    (cd "$ROOT" && cmake --preset release) >"$BUILD_LOG" 2>&1 || failed=1
    if ((failed)); then
      tail -n 30 "$BUILD_LOG" >&2
      fail "the build could not be configured; all of its output is in $BUILD_LOG"
    fi
  fi
  cmake --build "$BUILD" --parallel "$(jobs_max)" 2>&1 | tee "$BUILD_LOG" | show_build || failed=1
  if ((failed)); then
    grep -A15 -E '^FAILED|error:' "$BUILD_LOG" | tail -n 40 >&2 || tail -n 40 "$BUILD_LOG" >&2
    fail "the build failed; all of its output is in $BUILD_LOG"
  fi
  echo '  up to date in build/release'
}

# Ninja's progress: on one line of a terminal, a line for each tenth elsewhere.
show_build() {
  local line width tenth shown=0
  width=$(tput cols 2>/dev/null || echo 80)
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
    if [[ -t 1 ]]; then
      printf '\r\033[K  %.*s' $((width - 4)) "$line"
    else
      tenth=$((10 * BASH_REMATCH[1] / BASH_REMATCH[2]))
      ((tenth > shown)) && printf '  %s\n' "${BASH_REMATCH[0]}"
      shown=$tenth
    fi
  done
  if [[ -t 1 ]]; then
    printf '\r\033[K'
  fi
}

# Looked at before anything that runs is touched.
check_own_model() {
  local described fault
  [[ -f $OWN_MODEL ]] || fail "there is no file $OWN_MODEL (from SLUICE_MODEL)"
  described=$("$BUILD/bin/sluice-engine" info --model "$OWN_MODEL" --json 2>&1) ||
    fail "$OWN_MODEL (from SLUICE_MODEL) can't be served: $described"
  # What can be read is not yet what can be computed.
  fault=$(python3 -c 'import json, sys; print(json.load(sys.stdin).get("unsupported_because", ""))' <<<"$described")
  [[ -z $fault ]] || fail "$OWN_MODEL (from SLUICE_MODEL) can't be served: $fault"
  echo "  serving $OWN_MODEL"
}

make_model() {
  if [[ -n $OWN_MODEL ]]; then
    check_own_model
    MODEL=$OWN_MODEL
    return
  fi
  [[ -f $MODEL && $MODEL -nt $WEIGHTS ]] && return 0
  [[ -f $WEIGHTS ]] || fail "$WEIGHTS is missing"
  mkdir -p "${MODEL%/*}"
  # Under another name first: a file that carries the name is whole.
  local said
  said=$("$BUILD/bin/sluice-engine" quantize "$WEIGHTS" "$MODEL.part" --type Q8_0 2>&1) ||
    fail "quantizing the default model failed: $said"
  mv "$MODEL.part" "$MODEL"
  echo "  made ${MODEL#"$ROOT"/}"
}

show_next() {
  heading 'Where to look next'
  cat <<TEXT
  sluice      $SLUICE_URL   (/health, /ready, /metrics)
  processes   deploy/local/stack status
  logs        .local/logs/{producer,worker,callback,mysql,redis,rabbitmq}.log
  keys        eval "\$(deploy/quickstart.sh --env)"
  try it      curl -s \$SLUICE_URL/v1/jobs -H "Authorization: Bearer \$SLUICE_API_KEY" \\
                -d '{"prompt": "What is the capital of Malta?"}'
              curl -s "\$SLUICE_URL/v1/jobs/JOB_ID?wait=30" -H "Authorization: Bearer \$SLUICE_API_KEY"
              curl -s "\$SLUICE_URL/v1/jobs?limit=5" -H "Authorization: Bearer \$SLUICE_API_KEY"
  the engine  echo -n 'define queue' | build/release/bin/sluice-engine generate --model ${MODEL#"$ROOT"/}
  stop        deploy/quickstart.sh --stop            (--stop --purge deletes the data, too)
TEXT
}

run() {
  local demonstrate=$1 began=$SECONDS
  heading '1/4  Set-up'
  "$HERE/install.sh" || exit $?
  if ! mkdir -p "$LOCAL" 2>/dev/null || [[ ! -w $LOCAL ]]; then
    fail "$(id -un) may not write to $LOCAL: run it as the owner of this clone, or clone it anew"
  fi
  exec 9>"$LOCAL/quickstart.lock"
  flock -n 9 || { echo '  waiting for another quickstart to finish'; flock 9; }
  heading '2/4  Build (some minutes the first time)'
  build
  heading '3/4  Start'
  make_model
  # Descriptor 9 is closed for what goes on running: it holds the lock.
  stack up --build "$BUILD" --engine native --model "$MODEL" 9>&- ||
    fail 'not everything started; the reason is above. Try again, or deploy/quickstart.sh --stop'
  local settings
  settings=$(print_env) || fail 'the stack ended right after its start; see .local/logs/supervisor.log'
  set -a
  eval "$settings"
  set +a
  local code=0
  trap 'printf "\nquickstart: interrupted; sluice is left running (deploy/quickstart.sh --stop ends it)\n" >&2; exit 130' INT
  if ((demonstrate)); then
    heading '4/4  Demonstration'
    python3 "$HERE/local/demo.py" 9>&- || code=$?
    ((code == 0)) || printf '\nquickstart: the demonstration did not go as it should; sluice is left running\n' >&2
  fi
  show_next
  printf '\nTook %d s.\n' $((SECONDS - began))
  return "$code"
}

case "${1:-} ${2:-}" in
  ' ') run 1 ;;
  '--no-demo ') run 0 ;;
  '--env ') print_env ;;
  '--stop ') stop ;;
  '--stop --purge' | '--purge --stop') stop --purge ;;
  '--help ' | '-h ') usage ;;
  *)
    printf 'quickstart: there is no option %s\n\n' "$*" >&2
    usage >&2
    exit 2
    ;;
esac
