"""Runs the load scripts of tests/load, in a cluster or here, and shows their summaries. See docs/load.md."""
