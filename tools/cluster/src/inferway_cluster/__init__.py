"""Images, and a kind cluster on this machine: `make images` and `make cluster`.

images.py     the list of images
shell.py      runs other programs, and reports a missing or failed one
build_images.py `make images`: docker buildx, and a table
kind.py       the cluster: whether it exists, create, delete, load images
install.py    applies the manifests, and waits until everything is ready
"""
