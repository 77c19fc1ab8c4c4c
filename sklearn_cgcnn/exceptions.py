"""Exceptions of this package.

Each one is also a built-in exception. Code that catches ``ValueError`` or ``OSError``
keeps working, and code that must tell the causes apart can catch these classes instead.
"""

from collections.abc import Mapping

__all__ = [
    "CIFDirectoryError",
    "CheckpointFormatError",
    "DatasetIntegrityError",
    "DatasetUnavailableError",
    "ExtrapolationWarning",
    "FailedCrystalsWarning",
    "GraphFormatError",
    "GraphSettingsError",
    "ModelFileError",
    "StructureError",
    "TrainingDivergedError",
]


class StructureError(ValueError):
    """Structures cannot be converted to crystal graphs.

    Parameters
    ----------
    message : str
        What is wrong with the structures.
    index : int or None, default=None
        Position of the first of them in the sequence that was passed.
    failed : mapping of int to str or None, default=None
        Maps the position of each of them to the reason.
    """

    def __init__(
        self,
        message: str,
        index: int | None = None,
        failed: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.index = index
        self.failed = dict(failed or {})


class GraphSettingsError(ValueError):
    """Crystal graphs were made with settings that differ from the expected ones."""


class GraphFormatError(ValueError):
    """A file of crystal graphs is damaged, or its format is unknown."""


class CIFDirectoryError(ValueError):
    """A folder of CIF files has an invalid table, or files that cannot be read.

    Parameters
    ----------
    message : str
        What is wrong with the folder.
    failed : mapping of str to str or None, default=None
        Maps the id of each crystal whose file cannot be read to the reason.
    """

    def __init__(self, message: str, failed: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.failed = dict(failed or {})


class CheckpointFormatError(ValueError):
    """A file is damaged, or is not a checkpoint of the original program."""


class ModelFileError(ValueError):
    """A file is damaged, or does not contain a model of this package."""


class DatasetUnavailableError(OSError):
    """A dataset is not on this machine, and a download failed or was not allowed."""


class DatasetIntegrityError(OSError):
    """The file of a dataset differs from the published one."""


class TrainingDivergedError(ArithmeticError):
    """Weights of the network became infinite or NaN during training."""


class ExtrapolationWarning(UserWarning):
    """A crystal is unlike those that a model can know much about.

    It has elements that no training crystal had, or edges that are longer than bonds
    are. The warning is given once in each call of `fit` or `predict`. To turn it into
    an error or to silence it, pass it as `category` to
    :func:`warnings.filterwarnings`.
    """


class FailedCrystalsWarning(UserWarning):
    """Crystals that cannot become graphs were left out of a training."""
