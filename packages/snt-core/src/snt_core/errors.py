"""The errors that Sonnet raises on its own account; all derive from `Error`."""


class Error(Exception):
    """Base class of all errors of Sonnet."""


class NotConnectedError(Error):
    """What was asked for exists only after the module is connected for the first time."""


class ParentNotBuiltError(Error):
    """A transposed module was connected before the module that it was made from."""


class IncompatibleShapeError(Error):
    """The shape of an input does not suit the module that it was given to."""


class UnderspecifiedError(Error):
    """Too little is known, for example of a static shape, to build the module."""


class NotSupportedError(Error):
    """The operation is not supported, or not in the mode in which it was tried."""


class NotInitializedError(Error):
    """A module was used although the constructor of `AbstractModule` never ran."""


class DifferentGraphError(Error):
    """A module was used in a second graph, or both eagerly and in a graph."""


class ModuleInfoError(Error):
    """A serialised description of a module cannot be read."""


class DamagedCheckpointError(Error, OSError):
    """A checkpoint is there, and its files are truncated, changed or incomplete."""


class CheckpointMismatchError(Error, ValueError):
    """A checkpoint does not fit the module that it was to be restored into.

    Args:
        message: What is wrong, and what to do.
        report: The `RestoreReport` of what fits and what does not.
    """

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report
