"""Images, and a cluster of kind on this machine: what `make images` and `make cluster` do.

images.py     the list of images
commands.py   other programs, and what is said when one is missing or fails
building.py   `make images`: docker buildx, and a table
kind.py       the cluster: there or not, made, deleted, images brought into it
installing.py the manifests, and waiting until everything is ready
"""
