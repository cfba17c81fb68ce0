"""The figure: closed forms against values worked out by hand, modes counted, pictures drawn, training undisturbed."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor
from support import ROOT, TINY_VARIANT, gankit

import gankit as api
from gankit.data.sets.synthetic import MIXTURES, Mixture
from gankit.errors import InputError, Stopped
from gankit.hookspecs import hookimpl
from gankit.look.densities import kernel_density, modes, optimal_discriminator, wasserstein
from gankit.look.figure import Figure, Moment, figure_of_run, figures_of_training, places_of
from gankit.look.figure_panels import FAKE, PAD, PLOT, TITLE, WIDTH, film, panel, strip
from gankit.settings.layers import Layer


def normal(x: float, mean: float, sigma: float) -> torch.Tensor:
    mixture = Mixture(np.array([[mean]]), sigma)
    return mixture.density(torch.tensor([[x]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("x", "real", "fake", "expected"),
    [
        (0.0, (2.0, 1.0), (0.0, 1.0), 0.1192029220),
        (1.0, (2.0, 1.0), (0.0, 1.0), 0.5),
        (2.0, (2.0, 1.0), (0.0, 1.0), 0.8807970780),
        (3.0, (2.0, 1.0), (0.0, 1.0), 0.9820137900),
        (0.0, (0.0, 1.0), (0.0, 2.0), 2 / 3),
        (3.0, (0.0, 1.0), (0.0, 2.0), 0.0640527102),
    ],
)
def test_the_optimal_discriminator(
    x: float, real: tuple[float, float], fake: tuple[float, float], expected: float
) -> None:
    assert float(optimal_discriminator(normal(x, *real), normal(x, *fake))) == pytest.approx(expected, rel=1e-6)


def test_where_neither_density_is_nothing_is_known() -> None:
    assert float(optimal_discriminator(torch.zeros(1), torch.zeros(1))) == 0.5


@pytest.mark.parametrize("name", MIXTURES)
def test_densities_of_the_truth_integrate_to_one(name: str) -> None:
    truth = MIXTURES[name]
    if truth.dim == 1:
        places = places_of(truth)
        step = float(places[1] - places[0])
        assert float(truth.density(places).sum()) * step == pytest.approx(1, abs=1e-3)
        return
    side = torch.linspace(-6 * truth.sigma, 6 * truth.sigma, 121)
    around = torch.cartesian_prod(side, side) + torch.from_numpy(truth.centres[0])
    mass = float(truth.density(around).sum()) * float(side[1] - side[0]) ** 2
    assert mass == pytest.approx(1 / len(truth.centres), rel=1e-3)


def test_the_kernel_estimate_is_near_the_density_it_was_drawn_from() -> None:
    samples = torch.randn(10_000, 1, generator=torch.Generator().manual_seed(0)) * 0.5 + 4
    places = places_of(MIXTURES["gaussian1d"])
    error = (kernel_density(samples, places) - MIXTURES["gaussian1d"].density(places)).abs()
    assert float(error.max()) < 0.04  # the peak is 0.8


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (4 + 0.5 * torch.special.ndtri((torch.arange(2_000) + 0.5) / 2_000), 0),
        (4.3 + 0.5 * torch.special.ndtri((torch.arange(2_000) + 0.5) / 2_000), 0.3),
        (torch.full((50,), 4.0), 0.5 * math.sqrt(2 / math.pi)),
        (torch.tensor([-50.0]), 54),
        (torch.tensor([1.0, math.nan]), math.inf),
    ],
)
def test_w1_of_a_shift_and_of_a_point(samples: torch.Tensor, expected: float) -> None:
    assert wasserstein(samples[:, None], MIXTURES["gaussian1d"]) == pytest.approx(expected, abs=2e-3)


def test_a_mode_counts_with_a_tenth_of_its_share_and_within_three_sigma() -> None:
    truth = MIXTURES["ring8"]
    centres = torch.from_numpy(truth.centres).float()
    everywhere = centres.repeat(100, 1)
    assert modes(everywhere, truth) == (8, 1.0)
    assert modes(centres[:1].repeat(800, 1), truth) == (1, 1.0)
    beside = everywhere + torch.tensor([3.5 * truth.sigma, 0.0])
    assert modes(beside, truth) == (0, 0.0)
    few = torch.cat([centres[:1].repeat(791, 1), centres[1:2].repeat(9, 1)])  # a tenth of 100 would be 10
    assert modes(few, truth)[0] == 1
    assert modes(torch.full((4, 2), math.nan), truth)[1] == 0


def figure(meaning: str, scores: torch.Tensor, spread: float = 0.5, mean: float = 4) -> Figure:
    truth = MIXTURES["gaussian1d"]
    samples = torch.randn(4_000, 1, generator=torch.Generator().manual_seed(0)) * spread + mean
    return Figure(
        "gaussian1d",
        "name",
        truth,
        places_of(truth),
        meaning,
        (Moment(7, samples, scores, kernel_density(samples, places_of(truth)), None),),
    )


def test_the_distance_to_the_optimum_is_zero_for_it_and_a_half_for_a_wrong_certainty() -> None:
    n = len(places_of(MIXTURES["gaussian1d"]))
    best = figure("logits", torch.zeros(n))  # both densities agree, so D* = 1/2
    assert best.numbers(best.moments[0])["d_error"] < 0.03
    sure = figure("logits", torch.full((n,), 30.0))
    assert sure.numbers(sure.moments[0])["d_error"] == pytest.approx(0.5, abs=0.03)
    raw = figure("raw", torch.zeros(n))
    assert raw.numbers(raw.moments[0]).keys() == {"w1"}


@pytest.mark.parametrize("meaning", ["logits", "raw", "error"])
def test_every_meaning_of_a_score_is_drawn(meaning: str) -> None:
    found = figure(meaning, torch.linspace(-3, 5, len(places_of(MIXTURES["gaussian1d"]))))
    assert strip([found]).width == WIDTH + 2 * PAD
    assert film([found], ".gif")[:3] == b"GIF"


def marks(found: Figure) -> list[bool]:
    """Whether there is a mark of the generator's colour above the plot, at its left edge, and at its right edge."""
    picture = np.asarray(panel(found, found.moments[0])).astype(int)
    near = (np.abs(picture - ImageColor.getrgb(FAKE)).sum(2) < 60)[: TITLE + PLOT - 5]
    return [bool(part.any()) for part in (near[:TITLE], near[TITLE:, :30], near[TITLE:, -30:])]


def test_what_leaves_a_panel_is_marked() -> None:
    scores = torch.zeros(len(places_of(MIXTURES["gaussian1d"])))
    assert marks(figure("raw", scores)) == [False, False, False]
    assert marks(figure("raw", scores, spread=0.05)) == [True, False, False]
    assert marks(figure("raw", scores, mean=-9)) == [False, True, False]
    assert marks(figure("raw", scores, mean=19)) == [False, False, True]


@pytest.mark.parametrize("name", ["gan", "wgan-gp", "began"])
@pytest.mark.parametrize("data", ["gaussian1d", "grid25"])
def test_variants_of_every_kind_have_their_figure(name: str, data: str) -> None:
    settings = {"variant": name, "data": data, "images": 640, "batch": 32, "z_dim": 1, "device": "cpu"}
    (found,) = figures_of_training([[Layer("test", settings)]], moments=4)
    assert found.meaning == {"gan": "logits", "wgan-gp": "raw", "began": "error"}[name]
    assert [moment.images_seen for moment in found.moments][0::3] == [0, 640]
    assert len(found.moments) == 4
    assert (found.moments[0].arrows is not None) == (data == "gaussian1d")
    assert strip([found]).height > 200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty steps on ring8, with two checkpoints kept."""
    folder = tmp_path_factory.mktemp("figure") / "run"
    api.train("gan", data="ring8", z_dim=2, images=640, batch=32, checkpoint_every=320, out=folder, device="cpu")
    return folder


def test_a_run_is_drawn_at_its_start_and_its_checkpoints(run: Path) -> None:
    found = figure_of_run(run)
    assert [moment.images_seen for moment in found.moments] == [0, 320, 640]
    settings = {"variant": "gan", "data": "ring8", "images": 640, "batch": 32, "z_dim": 2, "device": "cpu"}
    (trained,) = figures_of_training([[Layer("test", settings)]], moments=2)
    for mine, theirs in ((found.moments[0], trained.moments[0]), (found.moments[-1], trained.moments[-1])):
        assert torch.equal(mine.scores, theirs.scores)
        assert torch.equal(mine.samples, theirs.samples)


def test_looking_does_not_disturb_the_training(run: Path, tmp_path: Path) -> None:
    class Copier:
        state: dict[str, torch.Tensor]

        @hookimpl
        def gankit_run_end(self, run: object) -> None:
            self.state = {k: v.clone() for k, v in run.loop.state_dict().items() if torch.is_tensor(v)}  # type: ignore[attr-defined]

    copier = Copier()
    settings = {"variant": "gan", "data": "ring8", "images": 640, "batch": 32, "z_dim": 2, "device": "cpu"}
    figures_of_training([[Layer("test", settings)]], moments=12, observers=[copier])
    plain = Copier()
    api.train("gan", data="ring8", z_dim=2, images=640, batch=32, out=tmp_path / "r", device="cpu", observers=[plain])
    assert copier.state.keys() == plain.state.keys()
    assert all(torch.equal(value, plain.state[name]) for name, value in copier.state.items())


def test_the_command_draws_and_tells(run: Path, tmp_path: Path) -> None:
    result = gankit("figure1d", "--variant", "gan", "--images", "2k", "--moments", "3", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    (found,) = document["figures"]
    assert (found["variant"], found["moments"][-1]["images_seen"]) == ("gan", 2048)
    assert all(0 <= row["d_error"] <= 1 for row in found["moments"])
    with Image.open(tmp_path / "figure1d.png") as picture:
        assert json.loads(picture.text["gankit"])["data"] == "gaussian1d"  # type: ignore[attr-defined]
    assert not (tmp_path / "runs").exists()
    result = gankit("figure1d", run, "--out", "film.webp", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "modes 0, of 8" in result.stdout
    with Image.open(tmp_path / "film.webp") as frames:
        assert frames.n_frames == 3  # type: ignore[attr-defined]


def test_several_variants_stand_in_rows_with_options_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TINY_VARIANT)
    chosen = ["--variant", "gan,./mine.py,wgan", "-s", "gan.label_smoothing=0.25", "-s", "wgan.clip=0.1"]
    result = gankit("figure1d", *chosen, "--images", "2560", "--moments", "2", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)["figures"]
    assert [row["variant"] for row in figures] == ["gan, label_smoothing=0.25", "mine", "wgan, clip=0.1"]
    assert [row["scores"] for row in figures] == ["logits", "raw", "raw"]
    assert len({row["moments"][-1]["w1"] for row in figures}) == 3  # three trainings, of different games
    with Image.open(tmp_path / "figure1d.png") as picture, Image.open(ROOT / "docs/images/figure1d.png") as single:
        assert picture.width == single.width * 2 // 3  # two moments of each
        assert picture.height > 1.4 * single.height  # three rows beside two
        assert json.loads(picture.text["gankit"])["figures"] == figures  # type: ignore[attr-defined]


def test_what_one_variant_refuses_is_said_before_another_is_trained(tmp_path: Path) -> None:
    result = gankit("figure1d", "--variant", "gan,began", "--with", "r1", "--images", "2k", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "r1 penalises a score" in result.stderr
    assert "samples" not in result.stderr
    assert "run " not in result.stderr


COMMANDS = re.findall(r"^\$ gankit (figure1d .*?)(?:  #.*)?$", (ROOT / "docs/looking.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_pictures_of_the_docs_come_from_the_commands_above_them(command: str) -> None:
    words = shlex.split(command)[1:]
    flags = dict(zip(words[::2], words[1::2], strict=True))
    with Image.open(ROOT / "docs/images" / flags.get("-o", "figure1d.png")) as picture:
        facts = json.loads(picture.text["gankit"])  # type: ignore[attr-defined]
    assert [row["variant"] for row in facts["figures"]] == flags["--variant"].split(",")
    assert facts["data"] == flags.get("--data", "gaussian1d")
    budget = int(flags["--images"].replace("k", "000"))
    assert all(0 <= row["moments"][-1]["images_seen"] - budget < 512 for row in facts["figures"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("figure1d --variant gan,gan", "'gan' is named twice"),
        ("figure1d --variant gan,gna", "unknown variant 'gna'"),
        ("figure1d --variant gan,lsgan -s label_smoothing=0.1", "unknown option of variant 'lsgan': label_smoothing"),
        ("figure1d --variant gan,lsgan -s wgan.clip=1", "option 'wgan.clip': no extension 'wgan' is part of this run"),
        ("figure1d --variant gan -s gan.label_smoothing=0.1", "options of the variant have no prefix"),
        ("figure1d --data digits", "the density of 'digits' is not known"),
        ("figure1d --out x.jpg", "unknown kind of output '.jpg'"),
        ("figure1d nothing", "nothing is not the folder of a run"),
        ("figure1d --variant cgan --data ring8", "cannot show conditions"),
        ("figure1d --variant gna", "unknown variant 'gna'"),
        ("figure1d nothing --images 5k --seed 1", "--images, --seed: the run has been trained"),
    ],
)
def test_refusals_are_one_line(arguments: str, message: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert message in refusal(arguments, tmp_path)


def test_a_run_on_other_data_is_refused(tmp_path: Path) -> None:
    api.train("gan", steps=1, batch=4, out=tmp_path / "digits", device="cpu")
    with pytest.raises(InputError, match="the density of 'digits' is not known"):
        figure_of_run(tmp_path / "digits")


def test_a_run_whose_variant_was_a_file_imports_nothing_until_the_file_is_given(tmp_path: Path) -> None:
    source = TINY_VARIANT + "\nfrom pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n"
    (tmp_path / "mine.py").write_text(source)
    settings = {"data": "ring8", "z_dim": 2, "steps": 1, "batch": 4, "device": "cpu"}
    api.train(tmp_path / "mine.py", out=tmp_path / "run", **settings)  # type: ignore[arg-type]
    (tmp_path / "mine.imported").unlink()
    with pytest.raises(InputError, match="a file") as caught:
        figure_of_run(tmp_path / "run")
    assert caught.value.hint == "pass it again: --variant FILE.py"
    assert not (tmp_path / "mine.imported").exists()
    assert figure_of_run(tmp_path / "run", variant=str(tmp_path / "mine.py")).meaning == "raw"


def test_a_signal_ends_it_without_promising_a_run(tmp_path: Path) -> None:
    def interrupt(run: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    settings = {"variant": "gan", "data": "ring8", "images": 6400, "batch": 32, "z_dim": 2, "device": "cpu"}
    with pytest.raises(Stopped) as caught:
        figures_of_training([[Layer("test", settings)]], moments=2, on_step=interrupt)
    assert (caught.value.message, caught.value.hint, caught.value.exit_code) == (
        "stopped; no figure was drawn",
        None,
        143,
    )
