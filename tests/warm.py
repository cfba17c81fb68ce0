"""Python programs in children of one process that has imported torch already, which takes longer than most of what they do.

`python warm.py SOCKET` serves. What `write_python` writes is called like python and has its programs run there: in its
working folder, with its variables and streams; it passes signals on, and ends as they do.
Of gankit nothing is imported before the child is forked: it runs as it would in a new process.
"""

from __future__ import annotations

import array
import gc
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

LARGEST = 1 << 20  # bytes of a request
LIBRARIES = (  # what most commands import, torch._dynamo with torch.optim
    "filelock",
    "numpy.ctypeslib",
    "numpy.typing",
    "PIL.ImageDraw",
    "PIL.PngImagePlugin",
    "pluggy",
    "pydantic.dataclasses",
    "pydantic.type_adapter",
    "pydantic.types",
    "rich.progress",
    "rich.table",
    "safetensors.torch",
    "torch._dynamo",
    "torchmetrics.image.kid",
    "typer",
)


# -- who asks ----------------------------------------------------------------------------------------------------------


def start(path: Path) -> subprocess.Popen[bytes]:
    """A server at `path`, which answers as soon as it has imported; it ends with its standard input."""
    import subprocess
    import time

    variables = {key: value for key, value in os.environ.items() if not key.startswith(("GANKIT", "PYTEST"))}
    command = [sys.executable, __file__, str(path)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, env={**variables, "OMP_NUM_THREADS": "1"})
    while not path.exists():
        assert server.poll() is None, "the warm server did not start"
        time.sleep(0.02)
    return server


def ask(path: str | Path, streams: list[int], passed_on: tuple[signal.Signals, ...] = (), **request: Any) -> int:
    """Have a program run with these streams, which is sent these signals in our place; its exit code, negative for a signal.

    `argv` is what follows `python` on a command line, `cwd` and `env` are its folder and variables, `python` is its
    sys.executable, and `real` the interpreter that this stands for.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        message = json.dumps(request).encode()
        assert len(message) < LARGEST
        connection.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))])
        for number in passed_on:
            signal.signal(number, lambda received, _: connection.sendall(bytes([received])))
        return int(connection.recv(64))


def write_python(program: Path, socket_path: Path, real: Path) -> None:
    """Write a program that is called like `real`, for which the server stands in."""
    lines = [
        f"#!{sys.executable} -IS",
        "import sys",
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})",
        "import warm",
        f"warm.as_python({str(socket_path)!r}, {str(real)!r})",
    ]
    program.unlink(missing_ok=True)
    program.write_text("\n".join(lines) + "\n")
    program.chmod(0o755)


def as_python(path: str, real: str) -> None:
    """Be `real` with the arguments of this process; pip, which looks at where it is installed, gets `real` itself."""
    program, *words = sys.argv
    argv = words[1:] if words[:1] == ["-u"] else words
    if not argv or argv[:2] == ["-m", "pip"] or (argv[0].startswith("-") and argv[0] not in ("-m", "-c", "-")):
        os.execv(real, [real, *words])
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    code = ask(
        path,
        [0, 1, 2],
        signals,
        cwd=os.getcwd(),  # noqa: PTH109
        env=dict(os.environ),
        argv=argv,
        python=os.path.abspath(program),  # noqa: PTH100
        real=real,
    )
    if code < 0:
        end_by(-code)
    sys.exit(code)


def end_by(number: int) -> None:
    """End this process by a signal."""
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


# -- the server --------------------------------------------------------------------------------------------------------


def serve(path: str) -> dict[str, Any] | None:
    """Take requests until standard input ends; returns twice: in each child with what it shall run."""
    import importlib

    for library in LIBRARIES:
        importlib.import_module(library)
    assert "gankit" not in sys.modules
    gc.freeze()  # the pages of these objects stay shared with the children
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
            keep(child, connection)
            os._exit(0)
    return None


def keep(child: int, connection: socket.socket) -> None:
    """Pass signals on to the child and say how it ended; it is killed when whoever asked has gone."""
    import select

    end = os.pidfd_open(child)
    events = select.poll()
    events.register(end, select.POLLIN)
    events.register(connection, select.POLLIN)
    while end not in dict(events.poll()):
        numbers = connection.recv(16)
        if not numbers:
            events.unregister(connection)
        for number in numbers or (signal.SIGKILL,):
            os.kill(child, number)
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def become(request: dict[str, Any]) -> None:
    """Make this child the process that the request describes."""
    import multiprocessing.spawn
    import site

    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    encoding = os.environ.get("PYTHONIOENCODING")
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering, encoding, closefd=False)  # noqa: SIM115 - for as long as it lives
        for number, mode, buffering in ((0, "r", -1), (1, "w", -1), (2, "w", 1))
    )
    sys.path[1:1] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.executable = request["python"]
    multiprocessing.spawn.set_executable(request["real"])
    environment = Path(sys.executable).parent.parent
    if (environment / "pyvenv.cfg").exists():  # it sees this one's packages
        sys.prefix = str(environment)
        site.addsitedir(str(next((environment / "lib").glob("*/site-packages"))))


def run(argv: list[str]) -> None:
    """What `python ARGV` would run."""
    import runpy
    import types

    if argv[0] == "-m":
        sys.path[0] = os.getcwd()  # noqa: PTH109
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    elif argv[0] in ("-c", "-"):
        sys.path[0] = ""
        code, sys.argv = (argv[1], ["-c", *argv[2:]]) if argv[0] == "-c" else (sys.stdin.read(), argv)
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(code, "<string>" if argv[0] == "-c" else "<stdin>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(argv[0]))  # noqa: PTH100, PTH120
        sys.argv = argv
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    asked = serve(sys.argv[1])
    if asked is not None:
        import atexit

        code: object = 0
        try:
            become(asked)
            run(asked["argv"])
        except SystemExit as stop:
            code = stop.code
            if isinstance(code, str):
                print(code, file=sys.stderr)
        except KeyboardInterrupt:
            sys.excepthook(*sys.exc_info())
            end_by(signal.SIGINT)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)  # no memory is given back piece by piece
