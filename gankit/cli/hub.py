"""`gankit push` and `gankit pull`: generators on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import Checkpoint, File, Json, With, path_of
from gankit.errors import InputError

Repository = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hub.")]


def push(
    checkpoint: Checkpoint,
    repository: Repository,
    licence: Annotated[
        str | None, typer.Option("--license", metavar="ID", help="Of the weights, e.g. cc-by-4.0: yours to choose.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    branch: Annotated[
        str | None, typer.Option("--branch", "--revision", help="A branch, made if it is new (main).")
    ] = None,
    message: Annotated[str | None, typer.Option("-m", "--message", help="Of the commit.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only write the folder that would be pushed.")] = False,
    out: Annotated[str | None, typer.Option("-o", "--out", help="That folder (NAME).")] = None,
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Push a generator to the Hugging Face Hub: weights, a card with its scores, and samples, in one commit.

    The token is that of huggingface_hub: HF_TOKEN, or `hf auth login`.

    gankit push runs/a owner/name --license cc-by-4.0
    """
    from gankit.base.files import write_folder
    from gankit.sample.generator import LoadOptions
    from gankit.score.card import facts, files_of
    from gankit.store import hub

    address = hub.parse_address(repository)
    if address.revision is not None:
        raise InputError(f"{repository}: a push makes a commit", hint=f"{address.repo} --branch {address.revision}")
    if out is not None and not dry_run:
        raise InputError("-o is the folder of --dry-run", hint="add --dry-run, or leave out -o")
    if not dry_run:
        if licence is None:
            hint = "--license cc-by-4.0, apache-2.0, …, or other; the data may forbid some"
            raise InputError("under which licence? gankit does not invent one", hint=hint)
        hub.require_token()
    with console.log_to_stderr():
        files = files_of(
            checkpoint, address.repo, licence, LoadOptions(device="cpu", variant=variant, extensions=with_ or ())
        )
    if dry_run:
        folder = Path(address.repo.partition("/")[2]) if out is None else path_of(out, "-o")
        write_folder(folder, files)
        if json:
            console.print_json({"folder": str(folder), "files": facts(files), "pushed": None})
            return
        console.data.print(str(folder), markup=False)
        console.next_steps(f"gankit push {console.quoted(checkpoint)} {address.repo} --license {licence or 'ID'}")
        return
    pushed = hub.push(files, address.repo, private=private, branch=branch, message=message or "A generator of gankit")
    if json:
        console.print_json({"repository": pushed.repo, "revision": pushed.revision, "files": facts(files)})
        return
    console.data.print(f"{hub.SCHEME}{pushed}", markup=False)
    console.next_steps(f"gankit sample {hub.SCHEME}{pushed.repo} -o samples.png")


def pull(
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME[@REVISION]", help="A repository, and a commit, branch or tag.")
    ],
    out: Annotated[str | None, typer.Option("-o", "--out", help="The file (NAME.safetensors).")] = None,
    json: Json = False,
) -> None:
    """Copy a generator from the Hugging Face Hub into a file; wherever a CKPT is taken, hf://OWNER/NAME is one too.

    gankit pull owner/name -o faces.safetensors
    """
    from gankit.base.files import write_file
    from gankit.store import hub
    from gankit.store.generator_file import read

    address = hub.parse_address(repository)
    target = path_of(out, "-o") if out is not None else Path(f"{address.repo.partition('/')[2]}.safetensors")
    pulled = hub.pull(address)
    header, _ = read(pulled.file)
    data = pulled.file.read_bytes()
    if target.is_file() and target.read_bytes() != data:
        raise InputError(f"{target} is there already, and is another file", hint="-o OTHER.safetensors, or remove it")
    write_file(target, data)
    if json:
        facts = {"variant": header.variant.name, "images_seen": header.images_seen}
        console.print_json(
            {"file": str(target), "repository": pulled.address.repo, "revision": pulled.address.revision, **facts}
        )
        return
    console.data.print(str(target), markup=False)
    console.say(f"{hub.SCHEME}{pulled.address}")
    console.next_steps(f"gankit sample {console.quoted(target)} -o samples.png")
