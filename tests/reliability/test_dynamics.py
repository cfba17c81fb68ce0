"""The dynamics of every installed variant, or why its game is another one."""

from gankit.look.dynamics import Dynamics, Unplayed, dynamics


def test_every_variant_has_a_verdict_or_a_reason() -> None:
    found = {result.variant: result for result in dynamics()}
    assert {name for name, result in found.items() if isinstance(result, Unplayed)} == {
        "acgan", "began", "infogan", "projected",
    }  # fmt: skip
    verdicts = {name: result.verdict for name, result in found.items() if isinstance(result, Dynamics)}
    assert {name for name, verdict in verdicts.items() if verdict == "converges"} == {"r3gan", "stylegan2"}
    assert {name for name, verdict in verdicts.items() if verdict == "kink"} == {"wgan-gp", "dragan"}
    assert set(verdicts.values()) == {"converges", "kink", "circles"}
