"""A corpus of raw HTTP/1.1 messages with the verdict that each must have, and a runner that puts it to a proxy."""
