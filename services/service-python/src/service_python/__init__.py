"""A simulated inference service: an upstream with a known latency, a known error rate and repeatable answers.

It serves to demonstrate, test and measure a gateway in front of it. See `../../README.md`.
"""
