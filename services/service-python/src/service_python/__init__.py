"""A simulated inference service: an upstream with a known latency, a known error rate and repeatable answers.

It exists so that a gateway in front of it can be shown, tested and measured. See `../../README.md`.
"""
