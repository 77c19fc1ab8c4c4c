"""Behavior of a container as a sequence, and as a column, of crystals."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray


class CrystalColumn(ABC):
    """Base class of a container that scikit-learn can count, split and select.

    A subclass implements ``__len__``, `failed` and the two methods that select
    crystals.
    """

    ndim = 2

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of crystals."""

    @property
    @abstractmethod
    def failed(self) -> Mapping[int, str]:
        """The reason for each crystal that has no graph, by its position."""

    @property
    def is_failed(self) -> NDArray[np.bool_]:
        """Whether each crystal could not become a graph.

        Returns
        -------
        ndarray of shape (n_crystals,), bool
            ``graphs[~graphs.is_failed]`` leaves these crystals out.
        """
        mask = np.zeros(len(self), dtype=bool)
        mask[list(self.failed)] = True
        return mask

    @abstractmethod
    def _slice(self, start: int, stop: int) -> Self:
        """Return the crystals from `start` up to `stop`, as views."""

    @abstractmethod
    def _take(self, rows: NDArray[np.intp]) -> Self:
        """Return copies of the crystals at `rows`."""

    def _check_positions(self, failed: Mapping[int, str]) -> None:
        """Check that the crystals to mark as failed exist."""
        for position in failed:
            if not 0 <= position < len(self):
                raise IndexError(
                    f"failed has the key {position!r}, but the positions of these "
                    f"{len(self)} crystals are 0 to {len(self) - 1}"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the container as an array: one column of crystals."""
        return (len(self), 1)

    def __iter__(self) -> Iterator[Self]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, key: Any) -> Self:
        """Select crystals.

        Parameters
        ----------
        key : int, slice, sequence of int, or boolean mask
            Positions of the crystals. A tuple ``(key, ...)`` or ``(key, slice(None))``
            is accepted too, because scikit-learn indexes objects with a shape in this
            way.

        Returns
        -------
        CrystalGraphs or ShardedCrystalGraphs
            The selected crystals, in a container of the same class, also if `key` is a
            single integer. The arrays of CrystalGraphs are views if `key` is a slice of
            step one, and copies otherwise.
        """
        if isinstance(key, tuple):
            key = _row_key(key)
        if isinstance(key, slice) and key.step in (None, 1):
            start, stop, _ = key.indices(len(self))
            return self._slice(start, max(start, stop))
        rows = np.atleast_1d(np.arange(len(self))[key])
        if rows.ndim > 1:
            raise IndexError(
                "crystal graphs have a single column and are indexed by positions in "
                f"one dimension, got a key of shape {np.shape(key)}; pass key.ravel()"
            )
        return self._take(rows)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Return the crystals as an object array of shape ``(n_crystals, 1)``."""
        if dtype is not None and np.dtype(dtype) != object:
            raise TypeError(
                f"crystal graphs cannot become an array of dtype {dtype}; use "
                "dtype=object"
            )
        if copy is False:
            raise ValueError(
                "crystal graphs cannot become an array without a copy; pass copy=None"
            )
        column = np.empty(self.shape, dtype=object)
        for row, graph in enumerate(self):
            column[row, 0] = graph
        return column


def _row_key(key: tuple[Any, ...]) -> Any:
    rest = [part for part in key[1:] if part is not Ellipsis and part != slice(None)]
    if not key or rest:
        raise IndexError(
            "crystal graphs have a single column and are indexed as graphs[rows], got "
            f"{key}"
        )
    return key[0]
