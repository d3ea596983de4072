"""Starting a process again in its container, for Tilt's live update. Only in the stage `live` of an image.

A container that ends comes back as its image was, without the files that were brought into it. So the container goes on, and
the process in it is started anew: `python -m inferway_live COMMAND...` does it at SIGHUP.
"""
