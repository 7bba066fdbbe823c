"""The ``wavenet`` command."""
