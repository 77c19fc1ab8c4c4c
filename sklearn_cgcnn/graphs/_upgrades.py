"""The format version of saved graphs, and upgrades of older headers.

To change the layout of the header: raise `FORMAT_VERSION`, and add to `UPGRADES` a
function that turns a header of the version before into one of the new version.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sklearn_cgcnn.exceptions import GraphFormatError

FORMAT_VERSION = 2

Header = dict[str, Any]


def upgrade_header(header: Header, path: Path) -> Header:
    """Bring the header of saved graphs to the current format version.

    Parameters
    ----------
    header : dict
        The header as stored, with ``"format_version"`` and ``"settings"``.
    path : Path
        The folder of the graphs, for the error message.

    Returns
    -------
    dict
        A header of version `FORMAT_VERSION`.

    Raises
    ------
    GraphFormatError
        If the version is unknown, or the header does not have the layout of its
        version.
    """
    stored = header.get("format_version")
    version = stored
    while isinstance(version, int) and version in UPGRADES:
        try:
            header = UPGRADES[version](header)
        except (KeyError, TypeError, ValueError) as error:
            raise GraphFormatError(
                f"{path} has format version {stored}, but its settings are not those "
                f"of this version ({error!r}); featurize the structures again"
            ) from error
        version += 1
    if version != FORMAT_VERSION:
        raise GraphFormatError(
            f"{path} has format version {stored}, but this release reads versions up "
            f"to {FORMAT_VERSION}; use a newer release, or featurize the structures "
            "again"
        )
    return header


def _upgrade_from_1(header: Header) -> Header:
    """Collect the parameters of the edge rule, which lay beside all other settings."""
    settings = dict(header["settings"])
    if settings:  # graphs that were not made by the featurizer may have none
        name = settings.pop("connectivity")
        names = ("max_neighbors", "cutoff", "min_solid_angle")
        parameters = {each: settings.pop(each) for each in names if each in settings}
        if name == "voronoi":
            del parameters["max_neighbors"]  # was None: the rule does not have it
        settings = {"connectivity": {"rule": name, **parameters}, **settings}
    return {**header, "format_version": 2, "settings": settings}


#: By the version that each upgrade begins from.
UPGRADES: Mapping[int, Callable[[Header], Header]] = {1: _upgrade_from_1}
