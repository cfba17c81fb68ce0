"""A variant without a loss of its own, for an adversary whose loss is an object."""

from gankit.contracts import VariantInfo
from gankit.hookspecs import hookimpl


@hookimpl
def gankit_variant() -> VariantInfo:
    """Who it is."""
    return VariantInfo(api=1, title="a loss of your own")


@hookimpl
def gankit_loss() -> None:
    """None: the adversary has it."""
