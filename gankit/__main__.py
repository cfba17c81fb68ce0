"""`python -m gankit`, the same command."""

from gankit.cli import main

main()
