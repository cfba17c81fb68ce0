"""What an adversary in a loop of one's own must do, checked in one call with the user's own networks.

    from gankit.testing.adversary import check_adversary

    def test_my_adversary():
        check_adversary(build, make=MyDecoder(), like=(8, 32))

`build` gives a `gankit.Adversary` with your discriminator.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gankit.game.critic import coupling
from gankit.run.adversary import Adversary
from gankit.testing.subject import CheckFailed, require

STEPS = 4
DIFFERENT = 1e-4  # by which scores of one sample may differ with its neighbours


def check_adversary(build: Callable[[], Adversary], make: nn.Module, like: Sequence[int], *, bf16: bool = True) -> None:
    """Raise CheckFailed for the first of these rules that is not met.

    `build` gives a new adversary with the same weights at every call (seed torch in it); `make` is your network, which
    makes samples [N, *shape] of inputs ~ N(0, I) of the shape `like`, [N, …]. Nothing of yours is changed.

    * no gradient of one side reaches the other, and D is left trainable;
    * a score depends on its own sample, unless a layer of D says what couples a batch (`couples_samples`);
    * steps in bf16 (autocast) are finite, unless `bf16` is False;
    * a loop that is continued from `state_dict` is the uninterrupted one, bit for bit.
    """
    make = copy.deepcopy(make)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _separate(build(), make, like)
        _independent(build(), like)
        if bf16:
            _finite_in_bf16(build(), make, like)
        _resumed(build, make, like)


def _real(adversary: Adversary, n: int) -> Tensor:
    device = next(adversary.discriminator.parameters()).device
    return torch.rand(n, *adversary.data.shape, device=device) * 2 - 1


def _made(adversary: Adversary, make: nn.Module, like: Sequence[int]) -> Tensor:
    device = next(adversary.discriminator.parameters()).device
    fake: Tensor = make(torch.randn(*like, device=device))
    require(
        tuple(fake.shape[1:]) == adversary.data.shape,
        f"your network makes {list(fake.shape)}, the adversary takes [N, {', '.join(map(str, adversary.data.shape))}]",
        "shape=… of the adversary, or the last layer of your network",
    )
    require(fake.requires_grad, "what your network makes has no graph", "it needs parameters that are trained")
    return fake


def _condition(adversary: Adversary, n: int) -> Tensor | None:
    length = adversary.data.condition
    device = next(adversary.discriminator.parameters()).device
    return torch.eye(length, device=device)[torch.arange(n) % length] if length else None


def _separate(adversary: Adversary, make: nn.Module, like: Sequence[int]) -> None:
    fake = _made(adversary, make, like)
    y = _condition(adversary, len(fake))
    adversary.d_step(_real(adversary, len(fake)), fake, y)
    own = [name for name, parameter in make.named_parameters() if parameter.grad is not None]
    require(not own, f"d_step left a gradient in your network: {', '.join(own[:3])}", "a part must not keep the graph")
    loss = adversary.g_loss(fake, _real(adversary, len(fake)), y)
    require(loss.requires_grad, "g_loss gives your network no gradient", "does D depend on its input?")
    loss.backward()  # type: ignore[no-untyped-call]
    leaked = [name for name, parameter in adversary.discriminator.named_parameters() if parameter.grad is not None]
    require(not leaked, f"g_loss left a gradient in D: {', '.join(leaked[:3])}", "a part must not unfreeze it")
    frozen = [name for name, parameter in adversary.discriminator.named_parameters() if not parameter.requires_grad]
    require(not frozen, f"parameters of D are frozen: {', '.join(frozen[:3])}", "they would never move")
    reached = any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in make.parameters())
    require(reached, "g_loss gives your network no gradient", "does D depend on its input?")


def _independent(adversary: Adversary, like: Sequence[int]) -> None:
    d, real = adversary.discriminator.train(), _real(adversary, max(2, like[0]))
    inputs = [part for part in (real, _condition(adversary, len(real))) if part is not None]
    others = [torch.cat([real[:1], -2 * real[1:]]), *inputs[1:]]
    with torch.no_grad():
        scores = []
        for given in (inputs, others):
            torch.manual_seed(0)  # the same dropout
            scores.append(copy.deepcopy(d)(*given)[0])
    coupled = float((scores[0] - scores[1]).abs().max()) > DIFFERENT
    require(
        not coupled or coupling(d) is not None,
        "the score of a sample is another when its neighbours are",
        "penalties are per sample; if it is meant, name it in the layer: couples_samples = 'batch statistics'",
    )


def _finite_in_bf16(adversary: Adversary, make: nn.Module, like: Sequence[int]) -> None:
    device = next(adversary.discriminator.parameters()).device.type
    for _ in range(STEPS):
        with torch.autocast(device, torch.bfloat16):
            fake = _made(adversary, make, like)
            y = _condition(adversary, len(fake))
            stats = adversary.d_step(_real(adversary, len(fake)), fake.float(), y)
            loss = adversary.g_loss(fake.float(), _real(adversary, len(fake)), y)
        broken = [name for name, value in stats.items() if not bool(value.isfinite())]
        require(not broken, f"in bf16 {', '.join(broken[:3])} is not finite", "look at D's layers, or bf16=False")
        require(bool(loss.isfinite()), "in bf16 g_loss is not finite", "look at D's layers, or bf16=False")


def _resumed(build: Callable[[], Adversary], make: nn.Module, like: Sequence[int]) -> None:
    def play(adversary: Adversary, steps: range) -> None:
        for step in steps:
            torch.manual_seed(step)
            fake = _made(adversary, make, like)
            adversary.d_step(_real(adversary, len(fake)), fake, _condition(adversary, len(fake)))

    straight, first, second = build(), build(), build()
    play(straight, range(2 * STEPS))
    play(first, range(STEPS))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    play(second, range(STEPS, 2 * STEPS))
    different = [
        name
        for name, value in straight.state_dict().items()
        if isinstance(value, Tensor) and not torch.equal(value, second.state_dict()[name])
    ]
    if different:
        raise CheckFailed(
            f"a continued loop differs: {', '.join(different[:3])}",
            "state belongs into buffers; and `build` gives the same weights at every call",
        )
