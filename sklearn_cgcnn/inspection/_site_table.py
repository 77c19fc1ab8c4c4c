"""Sites as a table: their crystals, elements and roles, such as A in perovskites."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from sklearn_cgcnn.graphs import CrystalGraphs


def check_roles(roles: Any, n_crystals: int) -> list[list[str]]:
    """Return the labels of the sites of each crystal.

    Parameters
    ----------
    roles : sequence of (sequence of str)
        For each crystal, one label for each of its sites.
    n_crystals : int
        Number of crystals.

    Returns
    -------
    list of list of str
        The labels. Their number is not compared with that of the sites.

    Raises
    ------
    TypeError
        If `roles` or one of its items or labels is of another type.
    ValueError
        If there are more or fewer items than crystals.
    """
    items = _as_list(roles, "roles", "one sequence of labels for each crystal")
    if len(items) != n_crystals:
        raise ValueError(
            f"roles has {len(items)} items, but X has {n_crystals} crystals; pass one "
            "sequence of labels for each crystal"
        )
    return [_check_labels(item, f"roles[{index}]") for index, item in enumerate(items)]


def site_table(
    graphs: CrystalGraphs, crystals: NDArray[np.intp], labels: list[list[str]] | None
) -> Any:
    """Return what the sites of some crystals are.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.
    crystals : ndarray of shape (n_chosen,)
        Positions of the chosen crystals.
    labels : list of list of str, or None
        The labels of the sites of all crystals. None leaves out roles.

    Returns
    -------
    pandas.DataFrame
        One row per site, in the order of the crystals and their sites. The columns are
        "crystal", its position; "role", unless `labels` is None; and "number", the
        atomic number.

    Raises
    ------
    ValueError
        If a chosen crystal has another number of labels than sites.
    """
    import pandas as pd

    chosen = graphs[crystals]
    counts = np.diff(chosen.site_map_offsets)
    numbers = chosen.expand_sites(chosen.atomic_numbers).astype(np.int64)
    sites = pd.DataFrame({"crystal": np.repeat(crystals, counts), "number": numbers})
    if labels is not None:
        sites["role"] = _roles_of_sites(labels, crystals, counts)
    return sites


def group_by_element(sites: Any) -> Any:
    """Group the rows of a table of sites.

    Parameters
    ----------
    sites : pandas.DataFrame
        The table.

    Returns
    -------
    pandas.DataFrameGroupBy
        One group per atomic number, or per role and atomic number, sorted.
    """
    return sites.groupby([name for name in ("role", "number") if name in sites])


def with_symbols(table: Any) -> Any:
    """Replace atomic numbers in the index of a table by symbols.

    Parameters
    ----------
    table : pandas.DataFrame
        Its index has a level "number".

    Returns
    -------
    pandas.DataFrame
        Its index has a level "element" instead.
    """
    named = table.rename(index=_symbol, level="number")
    return named.rename_axis(index={"number": "element"})


def _symbol(number: int) -> str:
    symbol: str = Element.from_Z(number).symbol
    return symbol


def _roles_of_sites(
    labels: list[list[str]], crystals: NDArray[np.intp], counts: NDArray[np.int64]
) -> NDArray[np.object_]:
    """Return the labels of all sites of these crystals, one after another."""
    for row, count in zip(crystals, counts, strict=True):
        if len(labels[row]) != count:
            raise ValueError(
                f"roles[{row}] has {len(labels[row])} labels, but X[{row}] has {count} "
                "sites; pass one label for each site, in their order"
            )
    joined = [label for row in crystals for label in labels[row]]
    return np.array(joined, dtype=object)


def _check_labels(item: Any, name: str) -> list[str]:
    labels = _as_list(item, name, "one label for each site, in a list")
    for site, label in enumerate(labels):
        if not isinstance(label, str):
            raise TypeError(
                f"{name}[{site}] is of type {type(label).__name__}, but labels must be "
                "str; convert it"
            )
    return labels


def _as_list(values: Any, name: str, remedy: str) -> list[Any]:
    # A str is a sequence of its letters, which are seldom meant as labels.
    if isinstance(values, list | tuple) or np.ndim(values) > 0:
        return list(values)
    raise TypeError(f"{name} is of type {type(values).__name__}; pass {remedy}")
