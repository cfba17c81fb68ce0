"""The installed command, and `python -m gankit`. Until it can answer Ctrl-C, Ctrl-C just ends it."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what stands before it is imported takes half a second

from gankit.cli import main

if __name__ == "__main__":
    main()
