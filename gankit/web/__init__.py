"""Pages about runs and generators: `gankit ui` serves them on this machine, `gankit report` writes one to a file."""
