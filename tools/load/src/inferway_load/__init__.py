"""Runs the load scripts of tests/load, in a cluster or locally, and shows their summaries. See docs/load.md."""
