"""The settings of a run: options, configuration, schedules and layers. No module here imports torch."""
