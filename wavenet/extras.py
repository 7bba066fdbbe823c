"""What some commands need beyond training and sampling: packages that are installed on request."""

from importlib.util import find_spec

from wavenet.runs import IN_CLONE

PACKAGES = {"report": ["matplotlib"], "sweep": ["optuna"], "onnx": ["onnx", "onnxscript"]}
"""The extras of setup.cfg, and the packages of each that this one imports."""


def require(*extras: str) -> None:
    """Raises an ImportError, with the command that installs them, if the packages of these extras are not all here.

    Examples:
        >>> require()
    """
    missing = [package for extra in extras for package in PACKAGES[extra] if find_spec(package) is None]
    if missing:
        where = "" if IN_CLONE else ", in a clone of the project"
        verb = "is" if len(missing) == 1 else "are"
        raise ImportError(
            f"{' and '.join(missing)} {verb} not installed: pip install '.[{','.join(extras)}]'{where}, installs what "
            f"this command needs"
        )
