"""Exported files make the generator's samples without gankit; what would not is refused, and nothing is written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from support import ROOT, TINY_VARIANT, gankit, python
from support_export import DIGITS, VECTORS, Toy
from torch import nn

import gankit as api
from gankit.errors import InputError, ResourceError
from gankit.sample.export import capture, export, formats, parity
from gankit.sample.export.program import Program

# A program for a process in which gankit cannot be imported; it prints the shape of the samples of each batch.
WITHOUT_GANKIT = """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] in {hidden!r}]:
    del sys.modules[name]
for name in {hidden!r}:
    sys.modules[name] = None
import numpy as np
{load}
given = np.load({latents!r})
for n in (1, 7):
    feeds = {{key: given[key][:n] for key in ("z", "y") if key in given}} | {{"psi": np.array(1, np.float32)}}
    np.save(f"made{{n}}.npy", run(feeds))
"""
ONNX = """
import onnxruntime
session = onnxruntime.InferenceSession({file!r}, providers=["CPUExecutionProvider"])
print(session.get_modelmeta().custom_metadata_map["gankit"])
run = lambda feeds: session.run(["samples"], feeds)[0]
"""
PT2 = """
import torch
kept = {{"gankit.json": ""}}
module = torch.export.load({file!r}, extra_files=kept).module()
print(kept["gankit.json"])
run = lambda feeds: module(*(torch.as_tensor(array) for array in feeds.values())).numpy()
"""


@pytest.mark.parametrize(
    ("toy", "to", "load", "hidden"),
    [
        (Toy("gan", (1, 12, 16)), "onnx", ONNX, {"gankit", "gankit_variants", "torch"}),
        (Toy("cgan", (3, 8, 8), conditions=DIGITS), "pt2", PT2, {"gankit", "gankit_variants"}),
    ],
    ids=["onnx", "pt2"],
)
def test_a_file_makes_the_samples_of_seeds_in_a_process_without_gankit(
    place: Path, toy: Toy, to: str, load: str, hidden: set[str]
) -> None:
    file = toy.write(place / "toy.safetensors")
    done = gankit("export", file, "--to", to, "--seeds", "3,5-12", "--json", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    says = json.loads(done.stdout)
    program = WITHOUT_GANKIT.format(hidden=hidden, load=load.format(file=says["file"]), latents=says["latents"])
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(
        [python() if to == "pt2" else sys.executable, "-c", program],
        cwd=place, env=clean, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    expected = api.load(file).sample(seeds=[3, *range(5, 13)]).astype(int)
    for n in (1, 7):
        made = np.load(place / f"made{n}.npy")
        assert (made.dtype, made.shape) == (np.uint8, expected[:n].shape)
        assert np.abs(made - expected[:n]).max() <= 1
    kept = json.loads(run.stdout)
    header = api.load(file).header
    assert kept["tensors_sha256"] == header.tensors_sha256
    assert kept["classes"] == list(header.classes)
    assert kept["output"]["samples"] == {
        "dtype": "uint8", "layout": "NHWC", "shape": ["N", *expected.shape[1:]], "values": [0, 255],
    }  # fmt: skip
    assert list(kept["inputs"]) == (["z", "y", "psi"] if toy.conditions else ["z", "psi"])
    assert kept["parity"] == says["parity"]
    assert kept["parity"]["batches"] == [1, 5, 16, 64]
    assert kept["parity"]["max"] <= kept["parity"]["bound"]["max"]
    assert set(kept["latency_ms"]) == {"1", "16"}


def run_of(file: Path) -> formats.Run:
    """An exported file, ready to run."""
    kind = next(kind for kind in formats.FORMATS.values() if kind.suffix == file.suffix)
    return kind.runner(file.read_bytes())


def inputs(trained: api.TrainedGenerator, seeds: range, psi: float = 1.0) -> tuple[torch.Tensor, ...]:
    return (*trained.space.inputs(list(seeds)), torch.tensor(psi))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("toy", "to"),
    [
        (Toy("stylegan2", (3, 8, 8), DIGITS), "onnx"),
        (Toy("stylegan2", (1, 7, 7)), "torchscript"),
        (Toy("hinge", (2,), VECTORS), "onnx"),
        (Toy("gan", (2, 64), units=(-3.0, 5.0)), "pt2"),
        (Toy("lsgan", (3, 8, 8), DIGITS, extensions=("modulation",)), "torchscript"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_kind_of_generator_is_what_gankit_sample_makes(place: Path, toy: Toy, to: str) -> None:
    file = toy.write(place / "toy.safetensors")
    variant = toy.variant if toy.found_by else None
    done = export(file, to=to, variant=variant)
    data = done.file.read_bytes()
    assert not [path for path in (ROOT, place, sys.prefix) if os.fsencode(path) in data]  # of this machine
    trained = api.load(file, variant=variant)
    for seeds in (range(1), range(3, 5), range(20, 31)):
        made = run_of(done.file)(inputs(trained, seeds)).numpy()
        expected = trained.sample(seeds=seeds)
        assert (made.dtype, made.shape) == (expected.dtype, expected.shape)
        apart = np.abs(made.astype(float) - expected).max()
        assert apart <= (1 if made.dtype == np.uint8 else 1e-4)


@pytest.mark.parametrize("variant", ["gan", pytest.param("stylegan2", marks=pytest.mark.slow)])
def test_psi_is_the_truncation_of_gankit_sample(place: Path, variant: str) -> None:
    file = Toy(variant, (1, 8, 8)).write(place / "toy.safetensors")
    run, trained = run_of(export(file, to="pt2").file), api.load(file)
    for psi in (0.0, 0.6, 1.0):
        made = run(inputs(trained, range(8), psi)).numpy().astype(int)
        assert np.abs(made - trained.sample(8, truncation=psi)).max() <= 1
    made = run(inputs(trained, range(8))).numpy()
    assert np.array_equal(made, trained.sample(8))


def test_floats_are_what_the_network_makes_channels_first(place: Path) -> None:
    file = Toy("gan", (3, 8, 8)).write(place / "toy.safetensors")
    done = export(file, "floats.pt2", pixels="float")
    trained = api.load(file)
    made = run_of(done.file)(inputs(trained, range(4)))
    assert torch.allclose(made, trained.module(*trained.space.inputs(range(4))), atol=1e-6)
    assert done.description["output"]["samples"]["layout"] == "NCHW"
    assert done.description["parity"]["levels"] is None


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_fewer_bits_make_a_smaller_file_within_their_bound(place: Path, precision: Any) -> None:
    file = Toy("gan", (1, 8, 8)).write(place / "toy.safetensors")
    whole, small = export(file, "a.onnx"), export(file, "b.onnx", precision=precision)
    assert small.bytes < 0.7 * whole.bytes
    found = small.description["parity"]
    assert 0 < found["max"] <= parity.BOUNDS[precision].max
    assert small.description["opset"] == whole.description["opset"]


def test_the_folder_for_the_hub_is_read_by_gankit_and_by_safetensors(place: Path) -> None:
    file = Toy("cgan", (3, 8, 8), conditions=DIGITS).write(place / "toy.safetensors")
    for _ in range(2):  # the second takes the place of the first
        done = gankit("export", file, "--to", "safetensors-hf", "-o", "hub", cwd=place)
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "hub")
    assert sorted(path.name for path in (place / "hub").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = api.load(place / "hub" / "model.safetensors")
    assert np.array_equal(again.sample(3), api.load(file).sample(3))
    with safetensors.safe_open(place / "hub" / "model.safetensors", "pt") as weights:  # type: ignore[no-untyped-call]
        assert weights.metadata()["format"] == "pt"
        assert set(weights.keys()) == set(again.module.state_dict())
    assert json.loads((place / "hub" / "config.json").read_text())["classes"] == [str(n) for n in range(10)]
    (place / "hub" / "mine.txt").write_text("mine")
    done = gankit("export", file, "--to", "safetensors-hf", "-o", "hub", cwd=place)
    assert (done.returncode, "holds other files already" in done.stderr) == (2, True)
    assert (place / "hub" / "mine.txt").exists()


def test_seeds_as_json_are_those_of_gankit_sample(place: Path) -> None:
    file = Toy("cgan", (3, 8, 8), conditions=DIGITS).write(place / "toy.safetensors")
    done = export(file, "a.pt2", seeds=[4, 2], latents=Path("of/seeds.json"))
    given = json.loads((place / "of" / "seeds.json").read_text())
    z, y = api.load(file).space.inputs([4, 2])
    assert given["seeds"] == [4, 2]
    assert np.array_equal(np.array(given["z"], np.float32), z.numpy())
    assert np.array_equal(np.array(given["y"], np.float32), y.numpy())
    assert done.latents == Path("of/seeds.json")
    export(file, "a.pt2", seeds=[4, 2])
    sampled = gankit("sample", file, "--latents", "a.seeds.npz", "-o", "again.npz", cwd=place)
    assert sampled.returncode == 0, sampled.stderr
    with np.load(place / "again.npz") as again:
        assert np.abs(again["samples"].astype(int) - api.load(file).sample(seeds=[4, 2])).max() <= 1


def test_the_exporters_leave_logging_and_warnings_as_they_were(
    place: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    file = Toy("gan", (1, 8, 8)).write(place / "toy.safetensors")
    before = (list(logging.getLogger().handlers), logging.getLogger("torch").level, logging.getLogger().level)
    export(file, "a.onnx", precision="int8")
    assert (list(logging.getLogger().handlers), logging.getLogger("torch").level, logging.getLogger().level) == before
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


# -- refusals ----------------------------------------------------------------------------------------------------------

NETWORK = (
    """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self, z_dim):
        super().__init__()
        self.linear = nn.Linear(z_dim, 48)

    def forward(self, z):
        x = self.linear(z).reshape(-1, 3, 4, 4)
        return RESULT
"""
    + TINY_VARIANT
    + """
@hookimpl
def gankit_generator(data, z_dim):
    return Network(z_dim)
"""
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("result", "to", "message"),
    [
        ("torch.linalg.matrix_exp(x)", "onnx", "cannot become onnx: its operator aten.linalg_matrix_exp has no form"),
        ("x if z.sum() > 0 else -x", "pt2", "cannot become a graph: it decides by the values in a tensor"),
        ("x.reshape(len(z), 3, 4, 4)", "torchscript", "cannot become torchscript: it works for one size of the batch"),
        ("x + torch.rand_like(x)", "pt2", "makes other samples of the same z: it draws random numbers of its own"),
        ("x * float(z.mean())", "torchscript", "the file differs by .* and fp32 allows 0.001"),
        ("torch.from_numpy(x.numpy())", "torchscript", "nothing is written"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_no_file(place: Path, result: str, to: str, message: str) -> None:
    (place / "tiny.py").write_text(NETWORK.replace("RESULT", result))
    file = Toy("./tiny.py", (3, 4, 4)).write(place / "toy.safetensors")
    before = sorted(place.iterdir())
    with pytest.raises(InputError, match=message) as caught:
        export(file, to=to, variant="./tiny.py")
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert sorted(place.iterdir()) == before


def test_what_has_an_operator_of_its_own_may_be_written_in_another_format(place: Path) -> None:
    (place / "tiny.py").write_text(NETWORK.replace("RESULT", "torch.linalg.matrix_exp(x)"))
    file = Toy("./tiny.py", (3, 4, 4)).write(place / "toy.safetensors")
    assert export(file, to="pt2", variant="./tiny.py").description["parity"]["max"] == 0
    done = gankit("export", file, "--to", "onnx", "--variant", "./tiny.py", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "aten.linalg_matrix_exp" in done.stderr


def test_a_file_that_is_out_of_bounds_is_not_written_and_an_earlier_one_stays(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Toy("gan", (1, 8, 8)).write(place / "toy.safetensors")
    earlier = export(file, "a.pt2").file.read_bytes()
    whole = capture.captured

    def spoilt(program: Program, example: tuple[torch.Tensor, ...]) -> Any:
        graph = whole(program, example)
        for name, tensor in graph.state_dict.items():
            graph.state_dict[name] = nn.Parameter(tensor + 0.01, requires_grad=False)
        return graph

    monkeypatch.setattr(formats, "captured", spoilt)
    with pytest.raises(InputError, match=r"differs by \d\.\d+ .* and fp32 allows 0.001 \(1e-05\): nothing is written"):
        export(file, "a.pt2")
    assert (place / "a.pt2").read_bytes() == earlier
    assert sorted(path.name for path in place.iterdir()) == ["a.pt2", "toy.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "which format?"),
        (["-o", "x.tflite"], 2, "x.tflite: which format?"),
        (["--to", "onnx", "-o", "x.pt2"], 2, "x.pt2: what is written --to onnx ends in .onnx"),
        (["--to", "safetensors-hf", "-o", "x.safetensors"], 2, "is a folder"),
        (["--to", "safetensors-hf", "--precision", "fp16"], 2, "keeps weights as they are"),
        (["--to", "pt2", "--precision", "int8"], 2, "--precision int8 is of ONNX files"),
        (["--to", "pt2", "--opset", "18"], 2, "--opset is of ONNX files"),
        (["--to", "pt2", "--latents", "x.npz"], 2, "--latents without seeds"),
        (["--to", "pt2", "--seeds", "0-3", "--latents", "x.txt"], 2, "written as .npz or .json"),
        (["--to", "pt2", "-o", ""], 2, "-o is empty"),
        (["--to", "onnx", "-o", "."], 2, "-o generator.onnx"),
        (["--to", "pt2", "-o", "toy.safetensors/x.pt2"], 4, "cannot write"),
        (["--to", "pt2", "--pixels", "uint8"], 2, "points have no pixels"),
    ],
)
def test_usage_is_refused_in_one_line(place: Path, arguments: list[str], code: int, message: str) -> None:
    Toy("gan", (2,)).write(place / "toy.safetensors")
    done = gankit("export", "toy.safetensors", *arguments, cwd=place)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in place.iterdir()] == ["toy.safetensors"]


def test_latents_that_are_not_of_seeds_are_not_overwritten(place: Path) -> None:
    file = Toy("gan", (2,)).write(place / "toy.safetensors")
    np.savez(place / "dear.npz", z=np.zeros((1, 4)))  # to `sample`, --latents is what is read
    (place / "dear.json").write_text("[1]")
    before = (place / "dear.npz").read_bytes()
    for name in ("dear.npz", "dear.json"):
        with pytest.raises(InputError, match=f"{name} is there already, and no file of seeds"):
            export(file, "a.pt2", seeds=[1], latents=Path(name))
    assert (place / "dear.npz").read_bytes() == before
    assert not (place / "a.pt2").exists()
    for seeds in ([1], [2]):
        assert export(file, "a.pt2", seeds=seeds, latents=Path("seeds.json")).latents == Path("seeds.json")


def test_a_missing_extra_is_named_before_anything_is_done(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Toy("gan", (2,)).write(place / "toy.safetensors")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ResourceError, match="onnx is written by onnxscript, which is not installed") as caught:
        export(file, to="onnx")
    assert caught.value.hint == "pip install 'gankit[export]'"
    assert export(file, to="pt2").file.exists()


def test_an_opset_that_the_generator_does_not_have_is_refused(place: Path) -> None:
    import onnx

    file = Toy("gan", (2,)).write(place / "toy.safetensors")
    assert onnx.load(io.BytesIO(export(file, "a.onnx", opset=21).file.read_bytes())).opset_import[0].version == 21
