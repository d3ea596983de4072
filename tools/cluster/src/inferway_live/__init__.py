"""Restarts a process in its container, for Tilt's live update. Only in the stage `live` of an image.

A restarted container has the files of its image only, without those copied into it later. So the container continues, and
only the process in it is restarted: `python -m inferway_live COMMAND...` does this on SIGHUP.
"""
