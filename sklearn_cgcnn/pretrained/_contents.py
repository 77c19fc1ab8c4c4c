"""What a training set contains, for the card of a model."""

import numpy as np
from pymatgen.core import Element

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.metrics import crystal_groups
from sklearn_cgcnn.pretrained._textbook_crystals import textbook_crystals
from sklearn_cgcnn.uncertainty._training_range import mean_log_lengths

_SAME_LENGTH = 0.04


def symbols(graphs: CrystalGraphs) -> list[str]:
    """Return the symbols of the elements of crystals.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.

    Returns
    -------
    list of str
        By atomic number.
    """
    numbers = np.unique(graphs.atomic_numbers).tolist()
    return [Element.from_Z(number).symbol for number in numbers]


def textbook_crystals_in(graphs: CrystalGraphs) -> list[str]:
    """Return the names of textbook crystals that are among others.

    These are crystals with the same formula and as many sites in the primitive cell,
    whose neighbors are as far away within 4 %, which is more than the error of DFT.

    Parameters
    ----------
    graphs : CrystalGraphs
        The others.

    Returns
    -------
    list of str
    """
    crystals = textbook_crystals()
    wanted = CrystalGraphFeaturizer().transform(list(crystals.values()))
    formulas, own_formulas = map(crystal_groups, (graphs, wanted))
    lengths, own_lengths = map(mean_log_lengths, (graphs, wanted))
    sites, own_sites = (np.diff(each.site_map_offsets) for each in (graphs, wanted))
    found = []
    for place, name in enumerate(crystals):
        is_equal = formulas == own_formulas[place]
        is_equal &= sites == own_sites[place]
        is_equal &= np.abs(lengths - own_lengths[place]) < _SAME_LENGTH
        if is_equal.any():
            found.append(name)
    return found
