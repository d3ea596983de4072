"""Fuzzing of the pure parsers. `checks` has the invariants; `run` feeds them millions of inputs, a test hundreds."""
