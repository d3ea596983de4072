"""Servers that tests script: an upstream that answers what it is told to."""
