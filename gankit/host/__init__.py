"""Plugins: found, imported, composed, installed, written."""
