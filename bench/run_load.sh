#!/bin/bash
# Measures the whole way of a job on a private stack: starts one, loads it, prints the report, ends it.
#
#   bench/run_load.sh [--engine echo|native] [--jobs N] [--concurrency N] [--batch N] [--workers N] [--max-tokens N]
#                     [--build DIR] [--name STACK] [--keep] [--json] [--out FILE] [--set [SERVICE:]SLUICE_X=VALUE]…
#
# --engine echo (the default) measures all but the engine; native serves the default model with prompts of its
# evaluation set. --keep leaves the stack running. --out appends the JSON line to a file as well.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STACK=$ROOT/deploy/local/stack
ENGINE=echo JOBS= CONCURRENCY=32 BATCH=1 WORKERS=1 MAX_TOKENS=64
BUILD=$ROOT/build/release NAME=bench-$$ KEEP=0 JSON=0 OUT= SETTINGS=()

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

while (($#)); do
  case $1 in
    --keep) KEEP=1 ;;
    --json) JSON=1 ;;
    --engine | --jobs | --concurrency | --batch | --workers | --max-tokens | --build | --name | --out | --set)
      (($# > 1)) || usage
      case $1 in
        --engine) ENGINE=$2 ;;
        --jobs) JOBS=$2 ;;
        --concurrency) CONCURRENCY=$2 ;;
        --batch) BATCH=$2 ;;
        --workers) WORKERS=$2 ;;
        --max-tokens) MAX_TOKENS=$2 ;;
        --build) BUILD=$2 ;;
        --name) NAME=$2 ;;
        --out) OUT=$2 ;;
        --set) SETTINGS+=(--set "$2") ;;
      esac
      shift
      ;;
    *) usage ;;
  esac
  shift
done
[[ $ENGINE == echo || $ENGINE == native ]] || usage
BIN=$BUILD
[[ -d $BUILD/bin ]] && BIN=$BUILD/bin
for program in sluice-producer sluice-worker sluice-callback sluicectl sluice-bench-load; do
  [[ -x $BIN/$program ]] || {
    echo "bench: $BIN/$program is missing: build the preset first (see bench/README.md)" >&2
    exit 2
  }
done

finish() {
  ((KEEP)) || "$STACK" down --name "$NAME" --purge >/dev/null 2>&1 || true
}
trap finish EXIT
trap 'exit 130' INT TERM

LOAD=(--concurrency "$CONCURRENCY" --batch "$BATCH" --max-tokens "$MAX_TOKENS")
UP=(--name "$NAME" --engine "$ENGINE" --build "$BUILD" --workers "$WORKERS")
if [[ $ENGINE == native ]]; then
  LOAD+=(--jobs "${JOBS:-400}" --prompts "$ROOT/models/sluice-tiny/eval.jsonl")
  # What the worker runs by default: eight bits a weight.
  if [[ -x $BIN/sluice-engine ]]; then
    MODEL=$BUILD/bench-sluice-tiny-q8_0.gguf
    [[ -f $MODEL ]] ||
      "$BIN/sluice-engine" quantize "$ROOT/models/sluice-tiny/sluice-tiny-f16.gguf" "$MODEL" --type Q8_0 >&2
    UP+=(--model "$MODEL")
  fi
else
  LOAD+=(--jobs "${JOBS:-5000}")
fi

"$STACK" up "${UP[@]}" ${SETTINGS+"${SETTINGS[@]}"} >&2
set -a
eval "$("$STACK" env --name "$NAME")"
set +a

# NAME=PID of all, and NAME=URL of the services' metrics.
STATUS=$("$STACK" status --json --name "$NAME")
list() {  # list FORMAT NAMES: one item for each part of the stack whose name begins with one of NAMES
  python3 -c '
import json, sys
form, names = sys.argv[1], tuple(sys.argv[2].split())
print(",".join(form.format(**part) for part in json.load(sys.stdin) if part["name"].startswith(names)))' "$@" <<<"$STATUS"
}
PROCESSES=$(list '{name}={pid}' 'mysql redis rabbitmq producer worker callback')
METRICS=$(list '{name}=http://127.0.0.1:{port}/metrics' 'producer worker callback')

COMMIT=$(git -C "$ROOT" rev-parse --short HEAD 2>/dev/null || echo unknown)
LOAD+=(--processes "$PROCESSES" --metrics "$METRICS" --label "$ENGINE@$COMMIT")

# Warm: connections, caches, the first pages of the model.
"$BIN/sluice-bench-load" "${LOAD[@]}" --jobs 50 --watch-every 0 --json >/dev/null

if ((JSON)) || [[ -n $OUT ]]; then
  LINE=$("$BIN/sluice-bench-load" "${LOAD[@]}" --json)
  [[ -z $OUT ]] || printf '%s\n' "$LINE" >>"$OUT"
  printf '%s\n' "$LINE"
else
  "$BIN/sluice-bench-load" "${LOAD[@]}"
fi
