"""An upstream whose answer is selected by the request's headers, or for all requests by a control path.

directives.py  request headers -> an order (pure)
modes.py       faults of the whole process, switched at run time (pure)
stats.py       counts of requests and connections
heads.py       bytes of answer heads and the pattern of bodies (pure)
responder.py   an order -> bytes, pauses, closes
control.py     /_fake/mode, /_fake/stats (pure)
connection.py  one client connection
server.py      all of them, in this loop or in a thread
"""
