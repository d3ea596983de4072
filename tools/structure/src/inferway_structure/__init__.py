"""Draws the import contracts (`.importlinter`) for docs/architecture.md."""
