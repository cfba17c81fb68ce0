#!/bin/sh
# Build the wheel, install it into a new environment away from the checkout, train 20 steps, sample and score the one file.
set -eu
checkout=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m build --wheel --outdir "$work/dist" "$checkout" >/dev/null
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --constraint "$checkout/constraints.txt" "$work"/dist/*.whl
cd "$work"
export PATH="$work/venv/bin:$PATH" OMP_NUM_THREADS=2
gankit --version
gankit variants
gankit doctor >/dev/null
gankit train --variant lsgan --steps 20 --device cpu --out run
cp run/generator.safetensors alone.safetensors
rm -rf run
gankit sample alone.safetensors --seeds 0,1,4-6 -o out/
test "$(ls out | wc -l)" -eq 5
GANKIT_HOME="$work/home" gankit eval alone.safetensors -n 200 --json -o scores.jsonl >/dev/null
test "$(wc -l <scores.jsonl)" -eq 1
echo "wheel test passed"
