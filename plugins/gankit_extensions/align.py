"""Alignment: D also predicts the features of a frozen network, which it has to understand for that (GAT, 2025)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from gankit.plugin import (
    Batch,
    Critic,
    CriticWrapper,
    DataSpec,
    ExtensionInfo,
    FrozenLite0,
    InputError,
    Pair,
    Part,
    Step,
    TrainingLoop,
    hookimpl,
    option,
)

LAYERS = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class Options:
    weight: float = option(1.0, ge=0, help="weight of 1 - cosine(prediction, feature), in D's phase")
    side: int = option(96, ge=32, le=320, schedule=False, help="images are resized to side x side for the features")
    hidden: int = option(512, ge=1, le=8192, help="units of the layer between D's features and the prediction")


class Tap:
    """Keeps what D was last shown, [N, C, H, W], and the input of one of its layers then, as [N, features]."""

    def __init__(self, discriminator: nn.Module, layer: nn.Module) -> None:
        self.forget()
        discriminator.register_forward_pre_hook(self._keep_shown)
        layer.register_forward_pre_hook(self._keep_features)

    def forget(self) -> None:
        """Let go of the graph that comes with the features."""
        self.shown, self.features = torch.empty(0), torch.empty(0)

    def _keep_shown(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.shown = inputs[0].detach()

    def _keep_features(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.features = pooled(inputs[0])


def pooled(x: Tensor) -> Tensor:
    """The input of a layer, [N, F], [N, …, F] of a linear one or [N, F, H, W] of a convolution -> [N, F]."""
    return x.mean((2, 3)) if x.ndim == 4 else x.flatten(1, -2).mean(1) if x.ndim > 2 else x


class Tapped(CriticWrapper):
    """A critic that remembers what the tap kept when the real samples were scored, alone or beside the fake ones."""

    def __init__(self, inner: Critic, tap: Tap) -> None:
        super().__init__(inner)
        self.tap = tap
        self.real_seen: tuple[Tensor, Tensor] | None = None

    def __call__(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        output = self.inner(samples, condition)
        if samples is self.batch.real:
            self.real_seen = self.tap.shown, self.tap.features
        return output

    def pair(self) -> Pair:
        known = self._pair is not None
        pair = super().pair()
        if not known:
            n = len(self.batch.real)
            self.real_seen = self.tap.shown[:n], self.tap.features[:n]
        return pair


class Align(Part):
    """One more term of D on the real samples: 1 - cosine(h(D's features), features of the frozen network)."""

    def __init__(self, options: Options, tap: Tap, head: nn.Module) -> None:
        super().__init__()
        self.weight, self.tap, self.head = options.weight, tap, [head]  # the head is a network of the loop's
        self.frozen = FrozenLite0(options.side)

    def critic(self, critic: Critic, step: Step) -> Critic:
        return Tapped(critic, self.tap) if step.name == "discriminator" else critic

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        if step.name != "discriminator":
            return {}
        seen = critic.real_seen if isinstance(critic, Tapped) else None
        if seen is None:  # the loss scored the real samples in a way of its own: a pass of ours
            critic(batch.real)
            seen = self.tap.shown, self.tap.features
        shown, features = seen
        with torch.no_grad(), critic.precision.autocast():
            target = self.frozen(shown)
        with critic.precision.autocast():
            prediction = self.head[0](features)
        return {"align": self.weight * (1 - cosine_similarity(prediction.float(), target.float()))}

    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        self.tap.forget()
        return {}


# -- where D's features are --------------------------------------------------------------------------------------------


def last_layer(discriminator: nn.Module, samples: Tensor, condition: tuple[Tensor, ...]) -> tuple[nn.Module, int]:
    """The last linear layer or convolution on the way from samples to D's score, and the length of its input.

    Its input depends on samples and on parameters of D, which is what makes it a feature that D has learnt. Layers that
    read the condition alone, or stand behind the score, are left out. InputError where there is no such layer.
    """
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    layers = [module for module in discriminator.modules() if isinstance(module, LAYERS)]
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: calls.append((layer, inputs[0], output)))
        for layer in layers
    ]
    samples.requires_grad_(True)
    try:
        output = discriminator.eval()(samples, *condition)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"align cannot show this discriminator samples {list(samples.shape)}: {' '.join(str(error).split())[:100]}",
            hint="leave out --with align",
        ) from error
    finally:
        discriminator.train()
        for hook in hooks:
            hook.remove()
    score = output[:, 0] if output.ndim == 2 else output
    parameters = list(discriminator.parameters())
    for layer, before, after in reversed(calls):
        if _reaches(score, [after]) and _reaches(before, [samples]) and _reaches(before, parameters):
            return layer, pooled(before).shape[1]
    raise InputError(
        "align finds no features in this discriminator: no linear layer or convolution reads what others have made of "
        "the samples",
        hint="leave out --with align, or take another discriminator",
    )


def _reaches(value: Tensor, inputs: Sequence[Tensor]) -> bool:
    """Whether a value depends on one of some tensors."""
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    if not value.requires_grad or not wanted:
        return False
    found = torch.autograd.grad(value.sum(), wanted, retain_graph=True, allow_unused=True)
    return any(gradient is not None and bool(gradient.any()) for gradient in found)


class Extension:
    """Gives D a head that predicts features, where the samples are grey or RGB images and D gives scores."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop, data: DataSpec) -> Sequence[Part]:
        if not data.is_image or data.shape[0] not in (1, 3):
            what = f"images of {data.shape[0]} channels" if data.is_image else data.kind
            raise InputError(
                f"align takes the features of grey and RGB images, and the data are {what}",
                hint="leave out --with align" + (", or --channels rgb" if data.is_image else ""),
            )
        if loop.loss.output.code:
            raise InputError("align needs scores, and this discriminator gives none", hint="leave out --with align")
        conditional = data.condition and loop.loss.output.condition != "none"
        y = (torch.zeros(2, data.condition, device=loop.device),) if conditional else ()
        discriminator = loop.networks.discriminator
        with torch.random.fork_rng(devices=[loop.device] if loop.device.type == "cuda" else []):
            layer, width = last_layer(discriminator, torch.randn(2, *data.shape, device=loop.device), y)
        sizes = (width, self.options.hidden, FrozenLite0.dim)
        head = nn.Sequential(nn.Linear(*sizes[:2]), nn.SiLU(), nn.Linear(*sizes[1:]))
        loop.add_network("discriminator", "align", head)
        return [Align(self.options, Tap(discriminator, layer), head)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Alignment of features", options=Options, make=Extension)
