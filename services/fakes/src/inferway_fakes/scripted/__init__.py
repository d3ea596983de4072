"""An upstream that each request tells how to be answered, by its headers; and all of them at once, by a control path.

directives.py  request headers -> an order (pure)
modes.py       faults of the whole process, switched at run time (pure)
stats.py       what was seen
heads.py       bytes of answer heads and the pattern that bodies are made of (pure)
responder.py   an order -> bytes, pauses, closes
control.py     /_fake/mode, /_fake/stats (pure)
connection.py  one client connection
server.py      all of them, in this loop or in a thread
"""
