#!/usr/bin/env bash
# What each format costs in quality: size, perplexity, distance from the original and answers to a set of tasks, as a
# table in Markdown. Speed is `sluice-engine bench`'s business; --speed adds its figures, for a quiet machine.
#
#   bench/quality.sh [--build DIR] [--model FILE] [--eval FILE.jsonl] [--text FILE] [--types "Q8_0 Q4_K …"]
#                    [--calibrate FILE] [--pure] [--speed]
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
BUILD="$ROOT/build/test"
MODEL="$ROOT/models/sluice-tiny/sluice-tiny-f16.gguf"
EVAL="$ROOT/models/sluice-tiny/eval.jsonl"
TEXT=
TYPES="F32 F16 BF16 Q8_0 Q6_K Q5_1 Q5_K Q5_0 Q4_1 Q4_K Q4_0 Q3_K Q2_K"
EXTRA=()
SPEED=
while [ $# -gt 0 ]; do
  case $1 in
    --build) BUILD=$2; shift 2 ;;
    --model) MODEL=$2; shift 2 ;;
    --eval) EVAL=$2; shift 2 ;;
    --text) TEXT=$2; shift 2 ;;
    --types) TYPES=$2; shift 2 ;;
    --calibrate) EXTRA+=(--calibrate "$2"); shift 2 ;;
    --pure) EXTRA+=(--pure); shift ;;
    --speed) SPEED=1; shift ;;
    *) echo "usage: see the head of $0" >&2; exit 2 ;;
  esac
done
ENGINE="$BUILD/bin/sluice-engine"
[ -x "$ENGINE" ] || { echo "$ENGINE: build it first" >&2; exit 1; }
# Without a text of one's own the answers of the tasks are what is predicted.
TEXT=${TEXT:-$EVAL}
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT

echo "| type | tensors MB | of F32 | perplexity | divergence (nats) | same likeliest token | tasks right |${SPEED:+ prefill tokens/s | decode tokens/s, 1 / 32 |}"
echo "| --- | --- | --- | --- | --- | --- | --- |${SPEED:+ --- | --- |}"
"$ENGINE" quantize "$MODEL" "$FOLDER/original.gguf" --type F32 --requantize > /dev/null
for type in $TYPES; do
  made="$FOLDER/$type.gguf"
  "$ENGINE" quantize "$FOLDER/original.gguf" "$made" --type "$type" --json ${EXTRA[@]+"${EXTRA[@]}"} > "$FOLDER/size.json"
  "$ENGINE" perplexity --model "$made" --baseline "$FOLDER/original.gguf" --file "$TEXT" --json > "$FOLDER/perplexity.json"
  "$ENGINE" eval --model "$made" "$EVAL" --json > "$FOLDER/eval.json"
  [ -z "$SPEED" ] || "$ENGINE" bench --model "$made" --prefill 512 --decode 64 --sequences 1 --sequences 32 --without-ceilings --json > "$FOLDER/bench.json"
  python3 - "$type" "$FOLDER" "$SPEED" <<'PY'
import json
import sys
kind, folder, speed = sys.argv[1:]
read = lambda name: json.load(open(f"{folder}/{name}.json", encoding="utf-8"))
size, text, tasks = read("size"), read("perplexity"), read("eval")["all"]
row = [kind, f"{size['tensor_bytes_after'] / 1e6:.1f}", f"{100 * size['tensor_bytes_after'] / size['tensor_bytes_before']:.1f} %",
       f"{text['perplexity']:.4f}", f"{text['divergence_nats']:.5f}", f"{100 * text['same_top']:.2f} %",
       f"{tasks['right']} of {tasks['n']} ({100 * tasks['accuracy']:.1f} %)"]
if speed:
    rates = {one["sequences"]: one for one in read("bench")["runs"]}
    row += [f"{rates[1]['prefill_tokens_per_s']:.0f}", f"{rates[1]['decode_tokens_per_s']:.0f} / {rates[32]['decode_tokens_per_s']:.0f}"]
print("| " + " | ".join(row) + " |", flush=True)
PY
done
