"""A scikit-learn transformer that turns structures into crystal graphs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self, overload

from pymatgen.core.structure import IStructure
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from sklearn_cgcnn._crystal_input import CrystalInput
from sklearn_cgcnn._graph_settings import GraphSettings
from sklearn_cgcnn._sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_params,
)
from sklearn_cgcnn._validation import check_crystals, check_each
from sklearn_cgcnn._versioned_state import State, VersionedState
from sklearn_cgcnn.graphs import (
    EDGE_RULES,
    AnyGraphs,
    CrystalGraphs,
    EdgeRule,
    Failure,
    ShardedCrystalGraphs,
    build_graphs,
    rule_of_graphs,
    structure_error,
    write_shards,
)


# Graphs are not a table, so scikit-learn must not wrap them in a DataFrame.
class CrystalGraphFeaturizer(  # type: ignore[call-arg]
    VersionedState,
    GraphSettings,
    CrystalInput,
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
    auto_wrap_output_keys=None,
):
    """Turn crystal structures into crystal graphs.

    Every site of the unit cell becomes a site of the graph. Edges join it to its
    nearest neighbors among the sites and their periodic images (Xie and Grossman 2018,
    Fig. 1a). By default, these are the `max_neighbors` nearest ones, and every further
    one that is as far away as the last of them: a shell of neighbors at equal distance
    (within 0.01 Å) is taken as a whole or not at all. The graph therefore depends
    neither on the order of the sites nor on the choice of the cell.

    Sites of one element with the same surroundings are then merged, as the supplement
    of the paper does for sodium chloride (8 sites to 2). Convolutions cannot
    distinguish such sites. The graph counts how many sites and edges were merged, and
    the counts weight every sum and mean. The network therefore computes the same
    function at a fraction of the cost. Distances that differ by less than 1e-4 Å count
    as equal and are averaged.

    The estimators featurize structures themselves. Featurize first if many fits use the
    same graphs, as in a search over parameters.

    Parameters
    ----------
    max_neighbors : int or None, default=12
        Number of nearest neighbors to reach. None keeps all neighbors within `cutoff`.
        Ignored by "voronoi".
    cutoff : float or None, default=None
        Largest length of an edge in Å. None means as far as `max_neighbors` needs for
        "nearest", 6 Å for "voronoi", and 8 Å for "original".
    connectivity : {"nearest", "voronoi", "original"} or EdgeRule, default="nearest"
        The rule that joins sites by edges.

        - "nearest" takes whole shells of the nearest neighbors
          (:class:`~sklearn_cgcnn.graphs.NearestNeighbors`).
        - "voronoi" is the rule of the paper's supplement for Eq. 4: sites whose Voronoi
          cells share a face, and whose distance is less than the sum of their covalent
          radii plus 0.25 Å (:class:`~sklearn_cgcnn.graphs.VoronoiNeighbors`).
        - "original" is the rule of the original program, for models that were trained
          with it. A site has exactly `max_neighbors` edges. Among neighbors at equal
          distance, those that the search finds first are taken. Neighbors that are
          missing within `cutoff` are replaced by edges of length `cutoff` + 1 Å to the
          first site. The graph depends on the order of the sites and on the choice of
          the cell (:class:`~sklearn_cgcnn.graphs.OriginalNeighbors`).

        A rule object sets further parameters, or is your own rule. It replaces
        `max_neighbors`, `cutoff` and `isolated_sites`, which must then have their
        default values.
    merge_equivalent : bool, default=True
        Whether one site of the graph stands for all sites of the crystal that a network
        cannot distinguish, and one edge for all equal edges of a site. Predictions and
        training stay the same, with fewer sites and edges to compute.
    isolated_sites : {"raise", "keep"}, default="raise"
        How to treat a site without neighbors. "raise" raises an error that names the
        site, "keep" keeps the site without edges. Ignored by "original".
    on_error : {"raise", "collect"}, default="raise"
        How to treat crystals that cannot become graphs, such as disordered ones.
        "raise" raises one error that names all of them, or ends early if a hundred have
        failed. "collect" returns graphs without sites in their places, and the reasons
        as ``CrystalGraphs.failed``. The graphs stay aligned with the targets. Items of
        X that are no crystals are collected too.
    n_jobs : int or None, default=None
        Number of processes, as in joblib. None means one.
    verbose : int, default=0
        Whether to show a progress bar.

    See Also
    --------
    sklearn_cgcnn.graphs.CrystalGraphs : The container that it returns.
    sklearn_cgcnn.graphs.EdgeRule : The base class for your own rules.

    Notes
    -----
    Oxidation states, magnetic moments and other site properties are not used. The
    transformer learns nothing from the data: `fit` only checks parameters and input.

    References
    ----------
    T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018).

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from sklearn_cgcnn import CrystalGraphFeaturizer
    >>> cscl = Structure(
    ...     Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ... )
    >>> graphs = CrystalGraphFeaturizer(max_neighbors=8).fit_transform([cscl])
    >>> graphs.n_sites, graphs.edge_weights.tolist()
    (2, [8, 8])

    A rule object sets what the parameters of the featurizer do not:

    >>> from sklearn_cgcnn.graphs import VoronoiNeighbors
    >>> rule = VoronoiNeighbors(min_solid_angle=0.1)
    >>> graphs = CrystalGraphFeaturizer(connectivity=rule).fit_transform([cscl])
    >>> graphs.n_sites, graphs.edge_weights.tolist()
    (2, [6, 8, 8])

    Crystals that cannot become graphs need not stop the others:

    >>> alloy = Structure(Lattice.cubic(2.86), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    >>> graphs = CrystalGraphFeaturizer(on_error="collect").transform([cscl, alloy])
    >>> len(graphs), list(graphs.failed), len(graphs[~graphs.is_failed])
    (2, [1], 1)
    """

    _state_version: ClassVar[int] = 2
    _state_upgrades: ClassVar[Mapping[int, Callable[[State], State]]] = {
        1: lambda state: {**state, "on_error": "raise"}
    }

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "max_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "cutoff": [Interval(Real, 0, None, closed="neither"), None],
        "connectivity": [StrOptions(set(EDGE_RULES)), EdgeRule],
        "merge_equivalent": ["boolean"],
        "isolated_sites": [StrOptions({"raise", "keep"})],
        "on_error": [StrOptions({"raise", "collect"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        max_neighbors: int | None = 12,
        cutoff: float | None = None,
        connectivity: str | EdgeRule = "nearest",
        merge_equivalent: bool = True,
        isolated_sites: str = "raise",
        on_error: str = "raise",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.max_neighbors = max_neighbors
        self.cutoff = cutoff
        self.connectivity = connectivity
        self.merge_equivalent = merge_equivalent
        self.isolated_sites = isolated_sites
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.verbose = verbose

    @classmethod
    def from_settings(
        cls,
        settings: Mapping[str, Any],
        *,
        on_error: str = "raise",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> Self:
        """Make the featurizer that makes graphs with the same settings.

        Parameters
        ----------
        settings : mapping of str to JSON value
            Settings of graphs, as in ``CrystalGraphs.settings``. Settings that are
            missing have their default value.
        on_error : {"raise", "collect"}, default="raise"
            How to treat crystals that cannot become graphs.
        n_jobs : int or None, default=None
            Number of processes, as in joblib. None means one.
        verbose : int, default=0
            Whether to show a progress bar.

        Returns
        -------
        CrystalGraphFeaturizer
            A new transformer, whose `connectivity` is a rule object. Isolated sites and
            missing radii raise an error. For graphs of your own rule, it accepts such
            graphs, but makes none.

        Raises
        ------
        GraphSettingsError
            If a rule of this package does not have the parameters of these settings.
        """
        parameters = dict(settings)
        if "connectivity" in parameters:
            parameters["connectivity"] = rule_of_graphs(parameters["connectivity"])
        return cls(**parameters, on_error=on_error, n_jobs=n_jobs, verbose=verbose)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and the input. There is nothing to learn.

        Parameters
        ----------
        X : sequence or iterator of Structure, or CrystalGraphs
            The crystals. Iterators are not consumed.
        y : None
            Ignored.

        Returns
        -------
        CrystalGraphFeaturizer
            This transformer.
        """
        self._edge_rule()
        if not isinstance(X, Iterator):
            check_crystals(X, on_error=self.on_error, on_disk=True)
        return self

    @overload
    def transform(  # numpydoc ignore=GL08
        self, X: ShardedCrystalGraphs
    ) -> ShardedCrystalGraphs: ...

    @overload
    def transform(self, X: Any) -> CrystalGraphs: ...  # numpydoc ignore=GL08

    def transform(self, X: Any) -> AnyGraphs:
        """Make the graphs of crystals.

        Parameters
        ----------
        X : sequence or iterator of Structure, or CrystalGraphs
            The crystals. An iterator is read while the graphs are made, so that the
            structures of a large file need not be in memory together. Graphs made with
            the same settings are returned unchanged, also those on disk.

        Returns
        -------
        CrystalGraphs or ShardedCrystalGraphs
            One graph for each crystal, in order. On disk if `X` is.

        Raises
        ------
        StructureError
            If structures are disordered, have species other than elements up to
            lawrencium, coincident sites, an invalid lattice or a site without
            neighbors, or have an element without a covalent radius that the rule needs.
            Also if X holds graphs of which some failed. With ``on_error="collect"``,
            only if every crystal fails. The attribute ``failed`` of the error maps the
            position of each crystal to the reason.
        TypeError
            If X is not a container of crystals, or holds structures and graphs. Also if
            an item is no crystal, and `on_error` is "raise".
        ValueError
            If X is empty.
        GraphSettingsError
            If X holds graphs that were made with other settings.
        """
        self._validate_params()
        if isinstance(X, Iterator):
            return self._build(check_each(X, on_error=self.on_error))
        crystals = check_crystals(X, on_error=self.on_error, on_disk=True)
        if isinstance(crystals, AnyGraphs):
            self.check_settings(crystals)
            self._check_failed(crystals)
            return crystals
        return self._build(crystals)

    @validate_params(
        {
            "path": [str, PathLike],
            "if_exists": [StrOptions({"raise", "resume", "append"})],
            "shard_size": [Interval(Integral, 1, None, closed="left")],
        },
        prefer_skip_nested_validation=True,
    )
    def transform_to_disk(
        self,
        X: Any,
        path: str | PathLike[str],
        *,
        if_exists: str = "raise",
        shard_size: int = 2048,
    ) -> ShardedCrystalGraphs:
        """Make the graphs of crystals in a folder, which may be larger than memory.

        The graphs are written in shards of up to `shard_size` crystals, while the
        structures are read. Each file is complete before the folder lists it. If the
        process is killed, or the disk is full, the folder holds the shards that were
        finished. The same call with ``if_exists="resume"`` makes the others. The files
        are then the same, byte by byte, as without the interrupt.

        Parameters
        ----------
        X : sequence or iterator of Structure
            The crystals. An iterator is read while the graphs are made.
        path : str or path-like
            The folder. Missing parent folders are created too.
        if_exists : {"raise", "resume", "append"}, default="raise"
            What to do if the folder exists.

            - "raise" raises an error.
            - "resume" ends an interrupted call. X must hold the same crystals in the
              same order. Those that were written are skipped, after a comparison of
              their numbers of sites. If there is nothing left to do, the folder remains
              as it is.
            - "append" adds the crystals to those of a complete folder.
        shard_size : int, default=2048
            Largest number of crystals in a shard. A shard ends earlier if its crystals
            have more than 262,144 sites. Ignored if the folder exists.

        Returns
        -------
        ShardedCrystalGraphs
            The graphs of the folder, in the order in which they were written.

        Raises
        ------
        StructureError
            As :meth:`transform` does, but for the shard that holds the first crystal
            that cannot become a graph. Shards before it are kept. With
            ``on_error="collect"``, all crystals may fail.
        TypeError
            If X is not a container of structures. Also if an item is no crystal, and
            `on_error` is "raise".
        ValueError
            If X is empty. If `if_exists` is "resume" and X differs from what was
            written, or "append" and the folder is incomplete.
        GraphSettingsError
            If the folder holds graphs that were made with other settings.
        FileExistsError
            If the folder exists and `if_exists` is "raise", or holds something else.
        OSError
            If the disk is full. What was written before is kept.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from sklearn_cgcnn import CrystalGraphFeaturizer
        >>> from sklearn_cgcnn.datasets import make_ionic_crystals
        >>> structures = make_ionic_crystals(10, random_state=0).data
        >>> featurizer = CrystalGraphFeaturizer()
        >>> with TemporaryDirectory() as folder:
        ...     path = f"{folder}/graphs"
        ...     first = featurizer.transform_to_disk(iter(structures[:6]), path)
        ...     all_ = featurizer.transform_to_disk(
        ...         structures[6:], path, if_exists="append"
        ...     )
        ...     len(first), len(all_)
        (6, 10)
        """
        self._validate_params()
        if isinstance(X, Iterator):
            structures: Any = check_each(X, on_error=self.on_error)
        else:
            structures = check_crystals(X, on_error=self.on_error, on_disk=True)
        if isinstance(structures, AnyGraphs):
            raise TypeError(
                f"X is of type {type(X).__name__}, but must hold structures; pass "
                "those that the graphs were made of, or store graphs with "
                "CrystalGraphs.save"
            )
        return write_shards(
            structures,
            self._edge_rule(),
            Path(path),
            merge_equivalent=self.merge_equivalent,
            on_error=self.on_error,
            if_exists=if_exists,
            shard_size=int(shard_size),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing: graphs are not a table and cannot be put into a DataFrame.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Ignored. A Pipeline passes it to all of its steps.

        Returns
        -------
        CrystalGraphFeaturizer
            This transformer.
        """
        return self

    def _check_failed(self, graphs: AnyGraphs) -> None:
        if graphs.failed and self.on_error == "raise":
            failures = {
                index: Failure(f"has no graph: {reason}")
                for index, reason in graphs.failed.items()
            }
            remedy = (
                'Leave them out, as in X[~X.is_failed], or pass on_error="collect" to '
                "CrystalGraphFeaturizer to keep them."
            )
            raise structure_error(failures, len(graphs), remedy)

    def _build(
        self, structures: Iterable[IStructure | Failure], first: int | None = None
    ) -> CrystalGraphs:
        return build_graphs(
            structures,
            self._edge_rule(),
            merge_equivalent=self.merge_equivalent,
            on_error=self.on_error,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            first=first,
        )

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
