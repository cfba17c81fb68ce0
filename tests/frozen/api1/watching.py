"""An extension for plugin API 1 as of gankit 0.1.0: options, wrappers around builders, every event."""

from dataclasses import dataclass

from torch import nn

from gankit.plugin import (  # noqa: F401 - none of these names may go
    API_VERSION,
    AdversarialLoss,
    AutoEncoder,
    Batch,
    BoundCritic,
    Critic,
    DatasetFactory,
    DataSpec,
    Discriminator,
    Ema,
    ExtensionInfo,
    FeatureFactory,
    GankitError,
    Generator,
    InputError,
    MetricFactory,
    Networks,
    NoOptions,
    PluginError,
    PointAutoEncoder,
    PointDiscriminator,
    PointGenerator,
    ResourceError,
    Run,
    Search,
    Splits,
    State,
    hookimpl,
    option,
    write_durably,
)


@dataclass(frozen=True)
class Options:
    scale: float = option(1.0, gt=0, help="what D's samples are multiplied by")


class Scaled(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, samples):
        return self.scale * samples


class Watching:
    def __init__(self, options):
        self.scale = options.scale
        self.steps = 0

    @hookimpl(wrapper=True)
    def gankit_loss(self, data):
        loss = yield
        return loss

    @hookimpl(wrapper=True)
    def gankit_training_loop(self, networks, config):
        loop = yield
        assert loop.networks is networks
        assert loop.config is config
        loop.add_augmentation("scaled", Scaled(self.scale))
        return loop

    @hookimpl
    def gankit_run_start(self, run):
        self.steps = run.step

    @hookimpl
    def gankit_step_end(self, run, stats):
        self.steps += 1
        assert "d/real" in stats

    @hookimpl
    def gankit_checkpoint(self, run, path):
        assert path.exists()

    @hookimpl
    def gankit_run_end(self, run, error):
        assert self.steps == run.step
        line = f"{run.step} {run.images_seen} {run.config.batch} {run.folder.path.name} {error!r}\n"
        write_durably(run.folder.path / "watched.txt", line.encode())


@hookimpl
def gankit_extension():
    return ExtensionInfo(api=1, title="Watching", options=Options, make=Watching)
