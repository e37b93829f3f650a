"""A command in a pseudo-terminal of a given width: what a person sees, escape codes and all."""

import fcntl
import os
import pty
import struct
import subprocess
import termios


def in_a_terminal(command, width=100, **environment):
    """Everything that the command writes, and its exit code; standard output and error are the same terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    variables |= {"TERM": "xterm-256color", **environment}
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=variables)
    os.close(follower)
    seen = b""
    while True:
        try:
            some = os.read(leader, 65536)
        except OSError:  # how Linux says that the last writer has closed it
            break
        if not some:
            break
        seen += some
    os.close(leader)
    return seen.decode(), process.wait(timeout=60)
