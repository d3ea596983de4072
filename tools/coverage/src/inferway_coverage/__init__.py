"""Coverage by package, from what the `coverage` package measured."""
