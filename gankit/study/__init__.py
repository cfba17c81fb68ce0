"""Studies: many runs under one protocol, from a definition to a journal of results."""
