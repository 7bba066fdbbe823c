"""``python -m wavenet``: the same as the ``wavenet`` command."""

from wavenet.commands.main import main

if __name__ == "__main__":
    main()
