#!/bin/sh
# Build the wheel, install it into a new environment away from the checkout, train 20 steps, sample and score the one file.
# Then the road of a third-party plugin: the wheel of examples/gankit-ebgan is installed beside it, listed, checked, trained,
# sampled and uninstalled; what is left of it, a run, says which package it needs.
set -eu
checkout=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m build --wheel --outdir "$work/dist" "$checkout" >/dev/null
python -m build --wheel --outdir "$work/plugin" "$checkout/examples/gankit-ebgan" >/dev/null
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --constraint "$checkout/constraints.txt" "$work"/dist/*.whl
cd "$work"
export PATH="$work/venv/bin:$PATH" OMP_NUM_THREADS=1
gankit --version
gankit variants
gankit recipes | grep -q '^digits '
gankit train --recipe digits --steps 20 --device cpu --out recipe
gankit doctor >/dev/null
gankit report recipe -o recipe.html
grep -q "Pictures through time" recipe.html
code=0
gankit ui --no-browser 2>said || code=$?
test "$code" -eq 4
grep -qF "pip install 'gankit[web]'" said
gankit train --variant lsgan --steps 20 --device cpu --out run
cp run/generator.safetensors alone.safetensors
rm -rf run
python - <<'CHECK'
from importlib.metadata import files
names = [str(file) for file in files("gankit")]
for part in ("sets/digits/ORIGIN.md", "sets/hands/ORIGIN.md", "sets/hands/LICENSE"):
    assert any("licenses/" in name and name.endswith(part) for name in names), part
CHECK
gankit train --data hands --size 32 --steps 2 --device cpu --out hands
gankit sample alone.safetensors --seeds 0,1,4-6 -o out/
test "$(ls out | wc -l)" -eq 5
gankit directions alone.safetensors -n 2
gankit sample alone.safetensors --move sefa1=2 -o moved.png
gankit project alone.safetensors out --steps 5 --restarts 1 --alone -o found.npz
gankit sample alone.safetensors --latents found.npz -o found.png
# A classifier is trained for it, meanwhile on the other core:
GANKIT_HOME="$work/home" gankit eval alone.safetensors -n 200 --json -o scores.jsonl >/dev/null &
scoring=$!

PIP_QUIET=1 gankit install "$work"/plugin/*.whl
gankit plugin list --load --json >plugins.json
python - <<'CHECK'
import json
rows = {row["name"]: row for row in json.load(open("plugins.json"))}
for name in ("ebgan", "gradient-noise"):
    assert (rows[name]["dist"], rows[name]["version"], rows[name]["state"]) == ("gankit-ebgan", "0.1.0", "ok"), rows[name]
CHECK
gankit plugin check ebgan --with gradient-noise --device cpu
gankit verify ebgan
gankit train --variant ebgan --with gradient-noise --steps 20 --device cpu --out energy
gankit sample energy -n 4 -o energy.png
gankit directions energy -n 2
gankit project energy out --steps 5 --restarts 1 --alone -o energy.npz
PIP_QUIET=1 PIP_YES=1 gankit uninstall gankit-ebgan
gankit sample energy -n 4 -o again.png # its generator is the core's
code=0
gankit resume energy --steps 30 2>said || code=$?
cat said
test "$code" -eq 3
grep -q "gankit install gankit-ebgan==0.1.0" said
wait "$scoring"
test "$(wc -l <scores.jsonl)" -eq 1
echo "wheel test passed"
