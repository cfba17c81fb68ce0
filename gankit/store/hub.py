"""The Hugging Face Hub: a generator by its name there, and one commit of files. huggingface_hub does the talking.

Tokens are found and kept by huggingface_hub (`HF_TOKEN`, or what `hf auth login` stored): gankit never sees one. Only
safetensors files are asked for, and they are read as every other sampleable file.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from gankit.base.text import printable
from gankit.errors import GankitError, InputError, ResourceError

log = logging.getLogger("gankit")

SCHEME = "hf://"
FILES = ("generator.safetensors", "model.safetensors")  # the first one that a repository has is its generator
_NAME = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@(?P<revision>[^\s@]{1,200}))?", re.ASCII
)
_TOKEN = re.compile(r"hf_\w+|Bearer\s+\S+")
_LOGIN = "HF_TOKEN, or `hf auth login`"


@dataclass(frozen=True)
class Address:
    """A repository on the Hub, and a commit, branch or tag of it."""

    repo: str
    """'owner/name'."""
    revision: str | None = None
    """None: its main branch."""

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


@dataclass(frozen=True)
class Pulled:
    """A generator file of the Hub in the cache of huggingface_hub."""

    file: Path
    address: Address
    """With the commit."""


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is hf://…; in a `Path` one of the slashes is lost."""
    return os.fspath(path).startswith("hf:/")


def parse_address(text: str | os.PathLike[str]) -> Address:
    """'owner/name', 'owner/name@revision', either behind hf://; InputError for anything else."""
    given = os.fspath(text)
    found = _NAME.fullmatch(re.sub(r"^hf:/{1,2}", "", given))
    if found is None:
        raise InputError(f"{printable(given)} is no repository", hint="owner/name, or owner/name@revision")
    return Address(found["repo"], found["revision"])


@cache
def pull(address: Address) -> Pulled:
    """The generator file of a repository, from the cache if it is there and the network is not; its commit is said.

    InputError for what the Hub does not have or does not give; ResourceError without a network or huggingface_hub.
    """
    hub = huggingface_hub()
    for name in FILES:
        try:
            with _in_words(address), _without_bars(hub):
                reached = _is_reached(hub, address, name)
                file = Path(
                    hub.hf_hub_download(address.repo, name, revision=address.revision, local_files_only=not reached)
                )
        except hub.errors.RemoteEntryNotFoundError:
            continue
        pinned = Address(address.repo, file.parent.name)  # …/snapshots/<commit>/<name>
        log.info("%s%s", SCHEME, pinned)
        return Pulled(file, pinned)
    raise InputError(f"{address} holds no generator of gankit ({' or '.join(FILES)})", hint="`gankit push` writes one")


def _is_reached(hub: ModuleType, address: Address, name: str) -> bool:
    """Whether the Hub answers; a download would try for half a minute before it looks into the cache."""
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(address.repo, name, revision=address.revision))
    except hub.errors.HfHubHTTPError:
        raise
    except Exception as error:
        if isinstance(error, hub.errors.OfflineModeIsEnabled) or _is_of_the_network(error):
            return False
        raise
    return True


def _is_of_the_network(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0].startswith("httpx") or isinstance(error, OSError)


def push(files: Mapping[str, bytes], repo: str, *, private: bool, branch: str | None, message: str) -> Address:
    """Make the repository and the branch unless they exist, and one commit of files; its address, with the commit."""
    hub = huggingface_hub()
    api = hub.HfApi()
    operations = [hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in files.items()]
    with _in_words(Address(repo, branch)), _without_bars(hub):
        api.create_repo(repo, private=private or None, exist_ok=True)
        if branch is not None:
            api.create_branch(repo, branch=branch, exist_ok=True)
        commit = api.create_commit(repo, operations, commit_message=message, revision=branch)
    return Address(repo, commit.oid)


def require_token() -> None:
    """ResourceError unless huggingface_hub is installed, knows a token and may use the network."""
    hub = huggingface_hub()
    if hub.constants.HF_HUB_OFFLINE:
        raise ResourceError("HF_HUB_OFFLINE is set: nothing is pushed", hint="unset it, or --dry-run")
    if hub.get_token() is None:
        raise ResourceError("the Hugging Face Hub wants a token to write", hint=f"{_LOGIN}; or --dry-run")


def huggingface_hub() -> ModuleType:
    """The package; ResourceError where it is not installed."""
    try:
        import huggingface_hub as package
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils  # it loads its modules when they are asked for
    except ImportError as error:
        raise ResourceError(
            "the Hugging Face Hub is reached by huggingface_hub, which is not installed",
            hint="pip install 'gankit[hub]'",
        ) from error
    return package


@contextmanager
def _without_bars(hub: ModuleType) -> Iterator[None]:
    """Without its progress bars, which would be drawn between gankit's lines."""
    shown = not hub.utils.are_progress_bars_disabled()
    if shown:
        hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            hub.utils.enable_progress_bars()


@contextmanager
def _in_words(address: Address) -> Iterator[None]:
    """Errors of huggingface_hub as one line, in which no token is quoted."""
    from huggingface_hub import errors

    try:
        yield
    except (GankitError, errors.RemoteEntryNotFoundError):
        raise
    except Exception as error:
        words = _words(address, error)
        if words is None:
            raise
        raise words from None  # what the server answered may hold a token


def _words(address: Address, error: Exception) -> GankitError | None:
    from huggingface_hub import errors

    where = f"{SCHEME}{printable(str(address))}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return InputError(f"{where}: its owner has to let you in", hint=f"ask on its page; then {_LOGIN}")
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"{where}: no such revision", hint="a commit, branch or tag of the repository")
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = f"owner/name as on its page; private ones: {_LOGIN}"
        return InputError(f"{where}: no such repository, or a private one that your token does not open", hint=hint)
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return ResourceError(
            f"{where} is not in the cache, and the Hub is not reached", hint="look at the network; HF_HUB_OFFLINE"
        )
    if isinstance(error, errors.HFValidationError):
        return InputError(f"{where} is no name of a repository", hint="owner/name")
    if status in (401, 403):
        return ResourceError(f"{where}: the Hub refuses ({status}): your token may not do that", hint=_LOGIN)
    if isinstance(error, errors.HfHubHTTPError | errors.BadRequestError):
        says = _TOKEN.sub("…", " ".join(str(getattr(error, "server_message", None) or "").split()))[:200]
        return ResourceError(
            f"{where}: the Hub answers {status}{': ' if says else ''}{printable(says)}", hint="try again later"
        )
    if _is_of_the_network(error):
        return ResourceError(f"{where}: the Hub is not reached ({type(error).__name__})", hint="look at the network")
    if isinstance(error, ValueError):  # the card, or a name, is not to the Hub's taste
        says = _TOKEN.sub("…", " ".join(str(error).split()))[:300]
        return InputError(f"{where}: the Hub refuses it: {printable(says)}", hint="--dry-run shows what is pushed")
    return None
