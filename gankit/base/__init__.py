"""Files, text, seeds, signals: what every room needs; nothing here knows of networks."""
