"""``python -m wavenet``: the same as the ``wavenet`` command and ``python train.py``."""

from wavenet.cli import main

if __name__ == "__main__":
    main()
