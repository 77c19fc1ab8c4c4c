"""The base class of all edge rules, and the neighbor lists that they return."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._cells import Cell


class NeighborList(NamedTuple):
    """The edges of one or several crystals, sorted by their center.

    The edges of all sites lie one after another: first those of site 0, then those of
    site 1, and so on, through all crystals.

    Attributes
    ----------
    counts : ndarray of shape (n_sites,), int64
        Number of edges of each center site.
    neighbors : ndarray of shape (n_edges,), int32
        Neighbor site of each edge, as its position within its own crystal.
    distances : ndarray of shape (n_edges,), float64
        Length of each edge in Å.

    Examples
    --------
    What a rule finds in polonium, whose only site has six neighbors:

    >>> import numpy as np
    >>> from sklearn_cgcnn.graphs import Cell, NearestNeighbors
    >>> polonium = Cell(3.35 * np.eye(3), np.zeros((1, 3)), np.array([84]), (True,) * 3)
    >>> edges = NearestNeighbors(max_neighbors=6).find_in_cell(polonium)
    >>> edges.counts.tolist(), edges.neighbors.tolist()
    ([6], [0, 0, 0, 0, 0, 0])
    >>> edges.distances.round(2)
    array([3.35, 3.35, 3.35, 3.35, 3.35, 3.35])
    """

    counts: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float64]


class EdgeRule(ABC):
    """Decide which sites of a crystal are joined by edges.

    This is the base class of :class:`NearestNeighbors`, :class:`VoronoiNeighbors` and
    :class:`OriginalNeighbors`. To use another rule, write your own subclass and pass an
    instance of it as `connectivity` to :class:`~sklearn_cgcnn.CrystalGraphFeaturizer`.

    A subclass is a frozen dataclass. Its fields are the parameters of the rule:
    numbers, strings, booleans, None, or lists of these. It implements
    :meth:`find_in_cell`. It may override :meth:`find`, if several crystals are searched
    faster at once.

    Attributes
    ----------
    rule_name : str
        Class attribute. Name of the rule in its JSON form. A subclass that does not
        set it is called by its module and class name, such as ``"mymodule.MyRule"``.
    normalize_cells : bool
        Class attribute, True by default. Whether the rule receives cells with short
        lattice vectors and all sites inside the cell, which makes searches fast. Set it
        to False if the rule depends on the choice of the cell.
    policies : frozenset of str
        Class attribute, ``{"isolated_sites", "missing_radii"}`` by default. Names of
        the fields that only decide whether a crystal is refused. Graphs do not depend
        on them, and :meth:`to_dict` leaves them out.

    See Also
    --------
    NearestNeighbors : Whole shells of nearest neighbors.
    VoronoiNeighbors : Sites whose Voronoi cells share a face.
    OriginalNeighbors : The neighbors that the original program takes.

    Examples
    --------
    A rule that joins only sites of different elements:

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> from sklearn_cgcnn import CrystalGraphFeaturizer
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.graphs import EdgeRule, NearestNeighbors, NeighborList
    >>> @dataclass(frozen=True)
    ... class UnlikeNeighbors(EdgeRule):
    ...     cutoff: float = 4.0
    ...
    ...     def find_in_cell(self, cell):
    ...         all_within = NearestNeighbors(None, self.cutoff, isolated_sites="keep")
    ...         counts, neighbors, distances = all_within.find_in_cell(cell)
    ...         centers = np.repeat(np.arange(len(counts)), counts)
    ...         elements = cell.atomic_numbers
    ...         unlike = elements[centers] != elements[neighbors]
    ...         return NeighborList(
    ...             np.bincount(centers[unlike], minlength=len(counts)),
    ...             neighbors[unlike],
    ...             distances[unlike],
    ...         )
    >>> featurizer = CrystalGraphFeaturizer(connectivity=UnlikeNeighbors(cutoff=3.5))
    >>> structures = make_ionic_crystals(10, random_state=0).data
    >>> len(featurizer.transform(structures))
    10
    """

    rule_name: ClassVar[str]
    normalize_cells: ClassVar[bool] = True
    policies: ClassVar[frozenset[str]] = frozenset({"isolated_sites", "missing_radii"})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Not inherited: a subclass of NearestNeighbors makes other graphs than it.
        if "rule_name" not in vars(cls):
            cls.rule_name = f"{cls.__module__}.{cls.__qualname__}"

    @abstractmethod
    def find_in_cell(self, cell: Cell) -> NeighborList:
        """Find the edges of one crystal.

        Parameters
        ----------
        cell : Cell
            The unit cell of the crystal.

        Returns
        -------
        NeighborList
            The edges of all sites of the cell.

        Raises
        ------
        StructureError
            If the crystal cannot become a graph.
        """

    def find(self, cells: Sequence[Cell]) -> NeighborList:
        """Find the edges of several crystals.

        Parameters
        ----------
        cells : sequence of Cell
            The unit cells of the crystals, at least one.

        Returns
        -------
        NeighborList
            The edges of all sites of the first cell, then those of the second, and so
            on.

        Raises
        ------
        StructureError
            If a crystal cannot become a graph. The attribute ``index`` of the error is
            the position of the crystal in `cells`.
        """
        lists = []
        for index, cell in enumerate(cells):
            try:
                lists.append(self.check_type(self.find_in_cell(cell)))
            except StructureError as error:
                error.index = index
                raise
        return NeighborList(*map(np.concatenate, zip(*lists, strict=True)))

    def check_type(self, edges: Any) -> NeighborList:
        """Check that what a rule found is a neighbor list.

        Parameters
        ----------
        edges : object
            What :meth:`find` or :meth:`find_in_cell` returned.

        Returns
        -------
        NeighborList

        Raises
        ------
        ValueError
            If it is something else.
        """
        if not isinstance(edges, NeighborList):
            raise ValueError(
                f"the edge rule {type(self).__name__} must return a NeighborList, got "
                f"{type(edges).__name__}"
            )
        return edges

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the rule.

        Returns
        -------
        dict of str to JSON value
            The name of the rule as ``"rule"``, and each field that shapes the graphs.

        Raises
        ------
        TypeError
            If the rule is not a dataclass, or a field holds something that JSON cannot
            store.
        """
        rule: Any = self  # only subclasses are dataclasses
        if not is_dataclass(rule):
            raise TypeError(
                f"{type(self).__name__} is not a dataclass, so its parameters cannot "
                "be stored with the graphs; decorate the class with "
                "@dataclass(frozen=True)"
            )
        names = [each.name for each in fields(rule) if each.name not in self.policies]
        parameters = {name: self._to_json(name) for name in names}
        return {"rule": self.rule_name, **parameters}

    def _to_json(self, name: str) -> Any:
        value = getattr(self, name)
        if isinstance(value, np.generic):
            value = value.item()
        try:
            return json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{name}={value!r} of {type(self).__name__} cannot be stored with the "
                "graphs; use finite numbers, strings, booleans, None, or lists of these"
            ) from error
