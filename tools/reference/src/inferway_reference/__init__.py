"""The reference pages of the documentation: generated from the code, so that it is complete and up to date (`make reference`)."""
