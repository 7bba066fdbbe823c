"""``python -m wavenet.experiments.child fit ...``: a training that ends with the process that began it.

Its standard input is a pipe of which that process holds the other end, and never writes to: when the pipe is closed,
for whatever reason, the process is gone.
"""

import os
import runpy
import signal
import threading


def end_with_the_parent() -> None:
    """Waits for the end of standard input, then asks this process to end."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    runpy.run_module("wavenet", run_name="__main__")
