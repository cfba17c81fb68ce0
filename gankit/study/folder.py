"""The folder of a study: its definition, its journal and the runs of its trials."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gankit.base.files import cannot_write, make_folder, remove_leftovers, write_durably
from gankit.base.text import printable
from gankit.errors import InputError
from gankit.store.run_folder import RunFolder
from gankit.study import journal
from gankit.study.definition import Definition
from gankit.study.reading import from_toml


@dataclass(frozen=True)
class StudyFolder:
    """Paths of one study."""

    path: Path

    @property
    def definition_file(self) -> Path:
        """The definition as TOML."""
        return self.path / "study.toml"

    @property
    def journal(self) -> Path:
        """What happened, one JSON object a line."""
        return self.path / journal.FILE

    @property
    def optuna(self) -> Path:
        """Optuna's own journal, where TPE searches and no other storage was given."""
        return self.path / "optuna.log"

    @property
    def exists(self) -> bool:
        """Whether this is the folder of a study."""
        try:
            return self.definition_file.is_file()
        except OSError:  # a name that the file system refuses
            return False

    def run(self, trial_id: str) -> Path:
        """The run folder of a trial."""
        return self.path / "trials" / trial_id

    def definition(self) -> Definition:
        """The definition of the study as it is stored."""
        if not self.exists:
            hint = "`gankit study run` makes one"
            raise InputError(f"{printable(self.path)} is not the folder of a study", hint=hint)
        return from_toml(self.definition_file)

    def check(self, definition: Definition) -> None:
        """InputError if another study is here, or something else."""
        if self.exists:
            differences = self.definition().differences(definition)
            if differences:
                raise InputError(
                    f"{printable(self.path)} is another study: {'; '.join(differences)}",
                    hint="choose another folder with -o; seeds, cells and trials may be added",
                )
            return
        try:
            foreign = [path for path in self.path.iterdir() if path.name != "LOCK" and path.suffix != ".tmp"]
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"-o {printable(self.path)}: {error.strerror}", hint="choose another place") from error
        if foreign:
            raise InputError(f"-o {printable(self.path)}: not empty and not a study", hint="choose another folder")

    @contextmanager
    def opened(self, definition: Definition) -> Iterator[None]:
        """Make the folder or let it grow, locked for this process within the block.

        A second process gets a ResourceError. A new folder is removed again when nothing was started in it.
        """
        self.check(definition)
        new = not self.exists
        try:
            make_folder(self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        with RunFolder(self.path).locked():
            self.check(definition)  # another process may have been quicker
            remove_leftovers(self.path)
            try:
                if new or self.definition() != definition:
                    write_durably(self.definition_file, definition.to_toml().encode())
                yield
            finally:
                if new and not self.journal.exists():
                    shutil.rmtree(self.path, ignore_errors=True)
