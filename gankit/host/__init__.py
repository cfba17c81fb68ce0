"""Plugins: discovery, import, composition, installation and scaffolding."""
