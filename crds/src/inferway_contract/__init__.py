"""The contract between the two planes of Inferway: resources, the config document, conditions."""

__version__ = "0.1.0"
