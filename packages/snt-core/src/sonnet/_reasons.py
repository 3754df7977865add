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
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        return (
            f"{wanted} is provided by {distribution}, which is not installed. Install it by "
            f"`pip install {distribution}` or, in a clone of the repository, by "
            f"`pip install ./packages/{distribution}`."
        )
    return (
        f"{wanted} is provided by {distribution}, which is installed but cannot be imported: "
        f"{type(error).__name__}: {error}"
    )
