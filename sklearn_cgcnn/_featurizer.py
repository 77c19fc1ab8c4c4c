"""From structures to crystal graphs, as a scikit-learn transformer."""

from collections import Counter
from collections.abc import Iterator
from math import pi
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from joblib import delayed, effective_n_jobs
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element
from sklearn.base import BaseEstimator, TransformerMixin

from sklearn_cgcnn._parallel import generator_of
from sklearn_cgcnn._progress import progress_bar
from sklearn_cgcnn._sklearn_compat import Interval, StrOptions, fit_context
from sklearn_cgcnn._validation import check_crystals
from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError
from sklearn_cgcnn.graphs import (
    CrystalGraphs,
    NearestNeighbors,
    OriginalNeighbors,
    VoronoiNeighbors,
    merge_equivalent_sites,
    read_cell,
)

# Crystals, and sites, handled by one call: enough to share the cost of array
# operations, few enough for their pairs to stay in the processor's cache.
_CHUNK = 128
_CHUNK_SITES = 4096

# Å, of the rules that do not search as far as needed.
_CUTOFFS = {"original": 8.0, "voronoi": 6.0}


# Graphs are no table: none of scikit-learn's wrapping of outputs in DataFrames.
class CrystalGraphFeaturizer(  # type: ignore[call-arg]
    TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Turn crystal structures into crystal graphs.

    Every site of the unit cell becomes a site of the graph, and every site is joined
    by edges to its nearest neighbors among the sites and their periodic images (Xie
    and Grossman 2018, Fig. 1a). The edges of a site are those to its `max_neighbors`
    nearest, and to every further one as far away as the last of them: a shell of
    neighbors at equal distance (within 0.01 Å) is taken whole or not at all. The graph
    therefore depends neither on the order of the sites nor on the choice of the cell.

    Sites of one element with the same surroundings are then merged, as the supplement
    of the paper does for sodium chloride (8 sites to 2): what distinguishes them, no
    convolution can see. Counts of what was merged weight every sum and mean, so that
    the network computes the same function at a fraction of the cost. Distances that
    differ by less than 1e-4 Å count as equal and are averaged.

    The estimators featurize structures by themselves; featurize first where many fits
    share the same graphs, as in a search.

    Parameters
    ----------
    max_neighbors : int or None, default=12
        Number of nearest neighbors to reach. None keeps all within `cutoff`. Voronoi
        neighbors are as many as there are.
    cutoff : float or None, default=None
        No edge is longer than this, in Å. None searches as far as `max_neighbors`
        needs; it stands for 6 Å with "voronoi", and for 8 Å with "original".
    connectivity : {"nearest", "voronoi", "original"}, default="nearest"
        The rule that joins sites. "nearest" takes whole shells of the nearest.
        "voronoi" is that of the paper's supplement for Eq. 4: sites whose Voronoi cells
        share a face, nearer than the sum of their covalent radii and 0.25 Å. "original"
        is that of the authors' program, for the models which it has trained: exactly
        `max_neighbors`, of equally near ones those that come first, and edges of
        `cutoff` + 1 Å to the first site for those that are missing within `cutoff`. It
        depends on the order of the sites and on the choice of the cell.
    min_solid_angle : float, default=0.05
        Smallest solid angle, in steradians, of a face that counts for "voronoi". In
        crystals of high symmetry some faces shrink to nothing, and would come and go
        with the last digit of the coordinates.
    merge_equivalent : bool, default=True
        Whether one site of the graph stands for all sites of the crystal that a network
        on it cannot tell apart, and one edge for all equal edges of a site. It leaves
        predictions and training as they are, with fewer sites and edges to compute.
    isolated_sites : {"raise", "keep"}, default="raise"
        What becomes of a site that has no neighbor: an error that names it, or a site
        without edges.
    missing_radii : {"raise", "ignore"}, default="raise"
        What becomes, for "voronoi", of the elements beyond curium, which have no
        covalent radius: an error that names the site, or edges to whatever shares a
        face within `cutoff`.
    n_jobs : int or None, default=None
        Number of processes, as in joblib. None means one.
    verbose : int, default=0
        Whether to show a progress bar.

    See Also
    --------
    sklearn_cgcnn.graphs.CrystalGraphs : What it returns.

    Notes
    -----
    Oxidation states, magnetic moments and other site properties are not used. The
    transformer learns nothing from data: `fit` only checks parameters and input.

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
    """

    _parameter_constraints: ClassVar[dict] = {
        "max_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "cutoff": [Interval(Real, 0, None, closed="neither"), None],
        "connectivity": [StrOptions({"nearest", "voronoi", "original"})],
        "min_solid_angle": [Interval(Real, 0, 4 * pi, closed="left")],
        "merge_equivalent": ["boolean"],
        "isolated_sites": [StrOptions({"raise", "keep"})],
        "missing_radii": [StrOptions({"raise", "ignore"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        max_neighbors=12,
        cutoff=None,
        connectivity="nearest",
        min_solid_angle=0.05,
        merge_equivalent=True,
        isolated_sites="raise",
        missing_radii="raise",
        n_jobs=None,
        verbose=0,
    ):
        self.max_neighbors = max_neighbors
        self.cutoff = cutoff
        self.connectivity = connectivity
        self.min_solid_angle = min_solid_angle
        self.merge_equivalent = merge_equivalent
        self.isolated_sites = isolated_sites
        self.missing_radii = missing_radii
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the input; there is nothing to learn.

        Parameters
        ----------
        X : sequence or iterator of Structure, or CrystalGraphs
            The crystals. Of an iterator nothing is read.
        y : None
            Ignored.

        Returns
        -------
        CrystalGraphFeaturizer
            This transformer.
        """
        self._edge_rule()
        if not isinstance(X, Iterator):
            check_crystals(X)
        return self

    def transform(self, X):
        """Make the graphs of crystals.

        Parameters
        ----------
        X : sequence or iterator of Structure, or CrystalGraphs
            The crystals. An iterator is read as far as its crystals are needed, so that
            those of a large file never need to be in memory together. Graphs made with
            the same settings are returned as they are.

        Returns
        -------
        CrystalGraphs
            One graph per crystal, in order.

        Raises
        ------
        StructureError
            If a structure is disordered, holds anything but elements up to lawrencium,
            has coincident sites, a broken lattice, a site without neighbors, or an
            element without covalent radius where one is needed.
        GraphSettingsError
            If X holds graphs made with other settings.
        """
        self._validate_params()
        if isinstance(X, Iterator):
            return self._featurize(_check_one_by_one(X), None)
        crystals = check_crystals(X)
        if isinstance(crystals, CrystalGraphs):
            self.check_settings(crystals)
            return crystals
        return self._featurize(crystals, len(crystals))

    def set_output(self, *, transform=None):
        """Do nothing: graphs are no table, whatever container a Pipeline asks for.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Ignored.

        Returns
        -------
        CrystalGraphFeaturizer
            This transformer.
        """
        return self

    def check_settings(self, graphs):
        """Check that graphs are those that this featurizer would make.

        Parameters
        ----------
        graphs : CrystalGraphs
            Graphs made elsewhere.

        Raises
        ------
        GraphSettingsError
            If they were made with other settings.
        """
        wanted = self.graph_settings()
        differing = [
            f"{name}={graphs.settings.get(name)!r} instead of {value!r}"
            for name, value in wanted.items()
            if graphs.settings.get(name) != value
        ]
        if differing:
            raise GraphSettingsError(
                f"X holds graphs made with {', '.join(differing)}; featurize the "
                "structures with the same settings"
            )

    def graph_settings(self):
        """Give the parameters that shape the graphs.

        Returns
        -------
        dict of str to int, float, str or None
            As stored in ``CrystalGraphs.settings``; they are keyword arguments of this
            class.
        """
        max_neighbors = None if self.max_neighbors is None else int(self.max_neighbors)
        cutoff = _CUTOFFS.get(self.connectivity) if self.cutoff is None else self.cutoff
        settings = {
            "max_neighbors": max_neighbors,
            "cutoff": None if cutoff is None else float(cutoff),
            "connectivity": self.connectivity,
            "merge_equivalent": bool(self.merge_equivalent),
        }
        if self.connectivity == "voronoi":
            angle = float(self.min_solid_angle)
            settings |= {"max_neighbors": None, "min_solid_angle": angle}
        return settings

    def _edge_rule(self):
        settings = self.graph_settings()
        if self.connectivity == "original":
            if settings["max_neighbors"] is None:
                raise ValueError(
                    'connectivity="original" gives every site equally many edges; set '
                    "max_neighbors to their number, and not to None"
                )
            return OriginalNeighbors(settings["max_neighbors"], settings["cutoff"])
        if self.connectivity == "voronoi":
            return VoronoiNeighbors(
                settings["cutoff"],
                settings["min_solid_angle"],
                missing_radii=self.missing_radii,
                isolated_sites=self.isolated_sites,
            )
        return NearestNeighbors(
            settings["max_neighbors"],
            settings["cutoff"],
            isolated_sites=self.isolated_sites,
        )

    def _featurize(self, structures, n_structures):
        rule, settings = self._edge_rule(), self.graph_settings()
        # The last digits decide which of several equal neighbors the program takes.
        as_given = self.connectivity == "original"
        reading = _Reading(structures)
        chunks = (
            (start, _read_cells(chunk, start, as_given))
            for start, chunk in _chunks(reading)
        )
        is_small = n_structures is not None and n_structures <= _CHUNK
        if effective_n_jobs(self.n_jobs) == 1 or is_small:
            parts = (_make_graphs(*chunk, rule, settings) for chunk in chunks)
        else:
            parts = generator_of(self.n_jobs)(
                delayed(_make_graphs)(*chunk, rule, settings) for chunk in chunks
            )
        with progress_bar(n_structures, "featurizing", "crystal", self.verbose) as bar:
            done = []
            for part in parts:
                done.append(part)
                bar.update(len(part))
        if reading.error is not None:
            raise reading.error
        if not done:
            raise ValueError("X holds no crystals: it is empty; give at least one")
        return CrystalGraphs.concatenate(done)

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


def _check_one_by_one(crystals):
    """Check crystals as they come."""
    for index, crystal in enumerate(crystals):
        if isinstance(crystal, CrystalGraphs):
            raise TypeError(
                f"X[{index}] is of type CrystalGraphs, from an iterator, which is for "
                "structures; pass CrystalGraphs.concatenate(list(X))"
            )
        yield from check_crystals([crystal], first=index)


class _Reading:
    """Structures as they are read, and what ended that before its time.

    A worker pool that reads them would take an interrupt for the end of them.
    """

    def __init__(self, structures):
        self.structures = structures
        self.error: BaseException | None = None

    def __iter__(self):
        try:
            yield from self.structures
        except BaseException as error:
            self.error = error
            raise


def _chunks(structures):
    """Divide structures into chunks, each ended by so many crystals, or sites.

    Yields where in all of them each begins, and the chunk.
    """
    start, n_sites, chunk = 0, 0, list[Any]()
    for structure in structures:
        if len(chunk) == _CHUNK or n_sites > _CHUNK_SITES:
            yield start, chunk
            start, n_sites, chunk = start + len(chunk), 0, []
        chunk.append(structure)
        n_sites += len(structure)
    if chunk:
        yield start, chunk


def _read_cells(structures, start, as_given):
    cells = []
    for position, structure in enumerate(structures):
        try:
            cells.append(read_cell(structure, as_given=as_given))
        except StructureError as error:
            raise _named(error, start + position, structure.composition) from None
    return cells


def _make_graphs(start, cells, rule, settings):
    """Make the graphs of a chunk of cells, the first of which is X[start]."""
    atomic_numbers = np.concatenate([cell.atomic_numbers for cell in cells])
    n_sites = np.array([len(cell.atomic_numbers) for cell in cells])
    pack = _pack_merged if settings["merge_equivalent"] else _pack
    try:
        return pack(atomic_numbers, n_sites, rule.find(cells), settings)
    except StructureError as error:
        raise _named(
            error, start + error.index, _composition(cells[error.index])
        ) from None


def _pack(atomic_numbers, n_sites, edges, settings):
    return CrystalGraphs(
        atomic_numbers=atomic_numbers,
        multiplicity=np.ones(len(atomic_numbers), dtype=np.int32),
        site_offsets=_offsets(n_sites),
        neighbors=edges.neighbors,
        distances=edges.distances,
        edge_weights=np.ones(len(edges.neighbors), dtype=np.uint16),
        edge_offsets=_offsets(edges.counts),
        site_map=np.concatenate([np.arange(n, dtype=np.int32) for n in n_sites]),
        site_map_offsets=_offsets(n_sites),
        settings=settings,
    )


def _pack_merged(atomic_numbers, n_sites, edges, settings):
    merged = merge_equivalent_sites(atomic_numbers, n_sites, edges)
    return CrystalGraphs(
        atomic_numbers=atomic_numbers[merged.representatives],
        multiplicity=merged.multiplicity,
        site_offsets=_offsets(merged.n_sites),
        neighbors=merged.edges.neighbors,
        distances=merged.edges.distances,
        edge_weights=merged.edge_weights,
        edge_offsets=_offsets(merged.edges.counts),
        site_map=merged.site_map,
        site_map_offsets=_offsets(n_sites),
        settings=settings,
    )


def _offsets(counts):
    return np.concatenate([[0], np.cumsum(counts)])


def _composition(cell):
    return Composition(Counter(Element.from_Z(z) for z in cell.atomic_numbers))


def _named(error, index, composition):
    # Not Composition.formula, which warns of elements without an electronegativity.
    formula = " ".join(f"{species}{n:g}" for species, n in composition.items())
    return StructureError(f"X[{index}] ({formula}): {error}", index=index)
