"""`make run`: the demo service and the gateway before it, in one terminal."""
