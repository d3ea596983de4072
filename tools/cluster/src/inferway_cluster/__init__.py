"""Images, and a cluster of kind on this machine: what `make images` and `make cluster` do.

images.py     the list of images
shell.py      other programs, and what is said when one is missing or fails
build_images.py `make images`: docker buildx, and a table
kind.py       the cluster: there or not, made, deleted, images brought into it
install.py    the manifests, and waiting until everything is ready
"""
