"""Fuzzing of the pure parsers: `targets` says what must hold, `run` feeds it with millions, a test with hundreds."""
