"""Python programs in children of one process that has imported torch already, which takes longer than most of our commands.

`python warm.py SOCKET` serves; each request names a program, its working folder, variables and arguments, and brings
its standard streams. Of gankit nothing is imported before the child is forked: it runs as it would in a new process.
"""

from __future__ import annotations

import array
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

LARGEST = 1 << 20  # bytes of a request


def start(path: Path) -> subprocess.Popen[bytes]:
    """A server at `path`, which answers as soon as it has imported; it ends with its standard input."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("GANKIT", "PYTEST"))}
    command = [sys.executable, __file__, str(path)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, env={**variables, "OMP_NUM_THREADS": "1"})
    while not path.exists():
        assert server.poll() is None, "the warm server did not start"
        time.sleep(0.02)
    return server


def ask(path: str | Path, streams: list[int], **request: Any) -> int:
    """Have a program run with these streams; its exit code, negative for a signal."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        message = json.dumps(request).encode()
        assert len(message) < LARGEST
        connection.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))])
        return int(connection.recv(64))


def serve(path: str) -> dict[str, Any] | None:
    """Take requests until standard input ends; returns twice: in each child with what it shall run."""
    import PIL.Image
    import pydantic
    import rich.console
    import safetensors.torch
    import torch._dynamo  # torch.optim imports it
    import torchmetrics
    import typer

    assert all((PIL.Image, pydantic, rich.console, safetensors.torch, torch._dynamo, torchmetrics, typer))
    assert "gankit" not in sys.modules
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are reaped by the kernel
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + ".new")
        listener.listen(8)
        os.rename(path + ".new", path)
        listener.settimeout(1)
        parent = os.getppid()
        while os.getppid() == parent:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(None)
            message, streams, _, _ = socket.recv_fds(connection, LARGEST, 3)
            if os.fork():
                connection.close()
                for stream in streams:
                    os.close(stream)
                continue
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            child = os.fork()
            if child == 0:
                connection.close()
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                    os.close(stream)
                return dict(json.loads(message))
            for stream in streams:
                os.close(stream)
            _, status = os.waitpid(child, 0)
            connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            os._exit(0)
    return None


def become(request: dict[str, Any]) -> None:
    """Make this child the process that the request describes."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, closefd=False, buffering=buffering)  # noqa: SIM115 - for as long as it lives
        for number, mode, buffering in ((0, "r", -1), (1, "w", -1), (2, "w", 1))
    )
    sys.path[0] = request["cwd"]
    sys.path[1:1] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if request.get("python"):  # of a virtual environment that sees this one's packages
        import multiprocessing.spawn
        import site

        sys.executable = request["python"]
        sys.prefix = str(Path(request["python"]).parent.parent)
        multiprocessing.spawn.set_executable(sys.executable)
        site.addsitedir(str(next((Path(sys.prefix) / "lib").glob("*/site-packages"))))


if __name__ == "__main__":
    asked = serve(sys.argv[1])
    if asked is not None:
        become(asked)
        from gankit.cli import main

        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            traceback.print_exc()
            code = 1
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)  # no memory is given back piece by piece
