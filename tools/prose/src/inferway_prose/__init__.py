"""Checks the project's English: substitutions of `substitutions.yaml` over documents, docstrings, comments and messages."""
