"""The format version of saved graphs, and upgrades of older formats.

To change the header or the arrays: raise `FORMAT_VERSION`, and add to `UPGRADES` a
function that turns header and arrays of the version before into those of the new one.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import GraphFormatError

FORMAT_VERSION = 3

Header = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


def check_version(header: Header, path: Path) -> None:
    """Check that this release can read a format version.

    Parameters
    ----------
    header : dict
        The header as stored, with ``"format_version"``.
    path : Path
        The folder of the graphs, for the error message.

    Raises
    ------
    GraphFormatError
        If the version is unknown.
    """
    version = header.get("format_version")
    if type(version) is not int or version not in {*UPGRADES, FORMAT_VERSION}:
        raise GraphFormatError(
            f"{path} has format version {version}, but this release reads versions up "
            f"to {FORMAT_VERSION}; use a newer release, or featurize the structures "
            "again"
        )


def upgrade(header: Header, arrays: Arrays, path: Path) -> tuple[Header, Arrays]:
    """Bring saved graphs to the current format version.

    Parameters
    ----------
    header : dict
        The header as stored, of a version that `check_version` accepts.
    arrays : dict of str to ndarray
        The arrays as stored, by name.
    path : Path
        The folder of the graphs, for the error message.

    Returns
    -------
    header : dict
        A header of version `FORMAT_VERSION`.
    arrays : dict of str to ndarray
        Arrays of this version.

    Raises
    ------
    GraphFormatError
        If the header does not have the layout of its version.
    """
    stored = header["format_version"]
    for version in range(stored, FORMAT_VERSION):
        try:
            header, arrays = UPGRADES[version](header, arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise GraphFormatError(
                f"{path} has format version {stored}, but its settings are not those "
                f"of this version ({error!r}); featurize the structures again"
            ) from error
    return {**header, "format_version": FORMAT_VERSION}, arrays


def _upgrade_from_1(header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
    """Collect the parameters of the edge rule, which lay beside all other settings."""
    settings = dict(header["settings"])
    if settings:  # graphs that were not made by the featurizer may have none
        name = settings.pop("connectivity")
        names = ("max_neighbors", "cutoff", "min_solid_angle")
        parameters = {each: settings.pop(each) for each in names if each in settings}
        if name == "voronoi":
            del parameters["max_neighbors"]  # was None: the rule does not have it
        settings = {"connectivity": {"rule": name, **parameters}, **settings}
    return {**header, "settings": settings}, arrays


def _upgrade_from_2(header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
    """Add the crystals that failed: each one without a graph raised an error."""
    return {**header, "failed": {}}, arrays


#: By version n, the function that turns header and arrays into those of version n + 1.
UPGRADES: Mapping[int, Callable[[Header, Arrays], tuple[Header, Arrays]]] = {
    1: _upgrade_from_1,
    2: _upgrade_from_2,
}
