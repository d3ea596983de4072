"""The reference in docs/reference: generated from the code, so that it is complete and up to date (`make reference`)."""
