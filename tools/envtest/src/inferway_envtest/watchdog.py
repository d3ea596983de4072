"""Runs a program that ends when its starter has ended, even suddenly (SIGKILL, a crash of the interpreter).

    python watchdog.py PROGRAM ARGUMENT...

The starter holds the other end of standard input. This process becomes the program, so that its id is the program's; a
child of it waits for the end of standard input and then ends its parent. Linux has a signal for this (PR_SET_PDEATHSIG), but
it is tied to the thread that started the program.
"""

import os
import select
import signal
import sys
import time

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
LOOK_EVERY = 1.0  # seconds between two checks of the program


def keep_watch(program: int) -> None:
    """Return when the program has ended; end it when the starter has ended."""
    while os.getppid() == program:
        readable, _, _ = select.select([0], [], [], LOOK_EVERY)
        if readable and not os.read(0, 1):
            break
    began = time.monotonic()
    number = signal.SIGTERM
    while os.getppid() == program:  # so no other process can have its id
        os.kill(program, number)
        number = signal.SIGKILL if time.monotonic() - began > GRACE else signal.SIGTERM
        time.sleep(0.1)


def main(arguments: list[str]) -> None:
    """Fork into the program and its watchdog."""
    program = os.getpid()
    if os.fork() == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        keep_watch(program)
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execv(arguments[0], arguments)  # noqa: S606 - the caller's own program


if __name__ == "__main__":
    main(sys.argv[1:])
