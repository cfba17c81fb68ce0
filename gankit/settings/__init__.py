"""The settings of a run: options, configuration, layers. No torch."""
