"""What the namespace says of a name that cannot be had."""

from __future__ import annotations


def reason(wanted: str, module: str, error: Exception) -> str:
    """Says why something cannot be had.

    Args:
        wanted: What was asked for, for example `"sonnet.Linear"`.
        module: The module that holds it, for example `"snt_nets.linear"`.
        error: What importing it raised.

    Returns:
        A sentence with the name of the distribution and, where it is missing, how to install it.
    """
    package = module.partition(".")[0]
    distribution = package.replace("_", "-")
    provided = f"{wanted} is provided by {distribution}"
    missing = (isinstance(error, ModuleNotFoundError) and error.name) or ""
    if missing == package:
        return f"{provided}, which is not installed. {_advice(distribution)}"
    if missing.startswith("snt_") and "." not in missing:  # another package of ours
        needed = missing.replace("_", "-")
        return f"{provided}, which needs {needed}, which is not installed. {_advice(needed)}"
    return f"{provided}, which is installed but cannot be imported: {type(error).__name__}: {error}"


def _advice(distribution: str) -> str:
    return (
        f"Install it by `pip install {distribution}` or, in a clone of the repository, by "
        f"`pip install ./packages/{distribution}`."
    )
