"""Well-known crystals, built from the lattice constants of textbooks."""

from pymatgen.core import Lattice, Structure

# Lattice constants in Å at room temperature (C. Kittel, Introduction to Solid State
# Physics, 8th edition; for strontium titanate: R. W. G. Wyckoff, Crystal Structures).
_CUBIC: dict[str, tuple[str, float, dict[str, tuple[float, float, float]]]] = {
    "rock salt": ("Fm-3m", 5.640, {"Na": (0, 0, 0), "Cl": (0.5, 0.5, 0.5)}),
    "magnesium oxide": ("Fm-3m", 4.212, {"Mg": (0, 0, 0), "O": (0.5, 0.5, 0.5)}),
    "silicon": ("Fd-3m", 5.431, {"Si": (0, 0, 0)}),
    "gallium arsenide": ("F-43m", 5.653, {"Ga": (0, 0, 0), "As": (0.25, 0.25, 0.25)}),
    "iron": ("Im-3m", 2.867, {"Fe": (0, 0, 0)}),
    "strontium titanate": (
        "Pm-3m",
        3.905,
        {"Sr": (0, 0, 0), "Ti": (0.5, 0.5, 0.5), "O": (0.5, 0.5, 0)},
    ),
}


def textbook_crystals() -> dict[str, Structure]:
    """Return well-known crystals with the lattice constants of textbooks.

    Returns
    -------
    dict of str to Structure
        Rock salt, magnesium oxide, silicon, gallium arsenide, iron and strontium
        titanate, as primitive cells, by their names.

    Examples
    --------
    >>> from sklearn_cgcnn.pretrained import textbook_crystals
    >>> {name: each.reduced_formula for name, each in textbook_crystals().items()}
    {'rock salt': 'NaCl', 'magnesium oxide': 'MgO', 'silicon': 'Si', ...
    """
    crystals = {}
    for name, (group, constant, sites) in _CUBIC.items():
        species, positions = list(sites), list(sites.values())
        lattice = Lattice.cubic(constant)
        conventional = Structure.from_spacegroup(group, lattice, species, positions)
        crystals[name] = conventional.get_primitive_structure()
    return crystals
