"""`python -m service_python`."""

from service_python import main

main.run()
