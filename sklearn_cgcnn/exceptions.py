"""Errors of this package, each also the builtin error that it refines.

Code that catches ``ValueError`` or ``OSError`` keeps working; code that wants to
tell the causes apart can.
"""

from collections.abc import Mapping

__all__ = [
    "CIFDirectoryError",
    "CheckpointFormatError",
    "DatasetIntegrityError",
    "DatasetUnavailableError",
    "GraphFormatError",
    "GraphSettingsError",
    "StructureError",
    "TrainingDivergedError",
]


class StructureError(ValueError):
    """A structure cannot become a crystal graph.

    Parameters
    ----------
    message : str
    index : int or None, default=None
        Which of the structures at hand it is.
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class GraphSettingsError(ValueError):
    """Crystal graphs were made with other settings than those asked for."""


class GraphFormatError(ValueError):
    """Stored crystal graphs are damaged, or of a format that is not known here."""


class CIFDirectoryError(ValueError):
    """A folder of CIF files has no valid table, or files that cannot be read.

    Parameters
    ----------
    message : str
    failed : mapping of str to str or None, default=None
        Why files cannot be read, by the ids of their crystals.
    """

    def __init__(self, message: str, failed: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.failed = dict(failed or {})


class CheckpointFormatError(ValueError):
    """A file is no checkpoint of the original program, or a damaged one."""


class DatasetUnavailableError(OSError):
    """A dataset is neither on this machine nor could it be downloaded."""


class DatasetIntegrityError(OSError):
    """A dataset's file is not, byte for byte, the one that was published."""


class TrainingDivergedError(ArithmeticError):
    """Weights of the network are no longer finite."""
