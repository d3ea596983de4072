"""Scriptable servers for tests, such as an upstream whose answers a test defines."""
