"""The extensions of this repository: one file each, written against `gankit.plugin` only."""
