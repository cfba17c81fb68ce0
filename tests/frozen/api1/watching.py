"""An extension for plugin API 1 as of gankit 0.2.0: options, wrappers around builders, every event."""

from dataclasses import dataclass

from gankit.plugin import (  # noqa: F401 - none of these names may go
    API_VERSION,
    AdversarialLoss,
    AutoEncoder,
    Batch,
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
    Number,
    Pair,
    Part,
    PluginError,
    PointAutoEncoder,
    PointDiscriminator,
    PointGenerator,
    Record,
    ResourceError,
    Run,
    Search,
    Splits,
    State,
    Step,
    hookimpl,
    option,
    write_durably,
)


@dataclass(frozen=True)
class Options:
    scale: float = option(1.0, gt=0, help="what D's samples are multiplied by")


class Scaled(Part):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def shown(self, samples, step):
        return self.scale * samples

    def penalties(self, critic, batch, step):
        pair = critic.pair()
        assert step.penalty_gain == 1
        return {"pairs": 0 * (pair.real - pair.fake) + 0 * pair.scores.sum() + 0 * pair.points.sum()}


class Watching:
    def __init__(self, options):
        self.scale = options.scale

    @hookimpl(wrapper=True)
    def gankit_loss(self, data):
        loss = yield
        return loss

    @hookimpl
    def gankit_parts(self, loop, data):
        return [Scaled(self.scale)]

    @hookimpl
    def gankit_run_start(self, run):
        self.records = []

    @hookimpl
    def gankit_record(self, run, record):
        assert isinstance(record, Record)
        self.records.append(record.kind)

    @hookimpl
    def gankit_checkpoint(self, run, path):
        assert path.exists()

    @hookimpl
    def gankit_run_end(self, run, error):
        assert error or {"statistics", "picture"} <= set(self.records)
        assert run.id
        assert run.configuration["config"]["batch"] == run.config.batch
        line = f"{run.step} {run.images_seen} {run.config.batch} {run.path.name} {error!r}\n"
        write_durably(run.path / "watched.txt", line.encode())


@hookimpl
def gankit_extension():
    return ExtensionInfo(api=1, title="Watching", options=Options, make=Watching)
