"""The game: networks, losses, penalties and the step in which players move."""
