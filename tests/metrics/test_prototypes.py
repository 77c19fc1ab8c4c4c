"""A prototype is the same in every description of a crystal, and with other elements.

The label of a crystal depends neither on its cell, origin, orientation, handedness and
order of sites nor on its elements. It depends on which sites are equivalent, and on
where they lie relative to the symmetry elements.
"""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.metrics import crystal_groups


def prototypes(structures, **options):
    return crystal_groups(structures, by="prototype", **options).tolist()


def prototype(structure, **options):
    [label] = prototypes([structure], **options)
    return label


def build(space_group, lengths, species, coords, gamma=90):
    a, b, c = np.broadcast_to(lengths, 3)
    lattice = Lattice.from_parameters(a, b, c, 90, 90, gamma)
    return Structure.from_spacegroup(space_group, lattice, species, coords)


O, H = (0, 0, 0), (0.5, 0.5, 0.5)  # noqa: E741
Q, TQ = (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)
THIRD = (1 / 3, 2 / 3)

# Crystals by their label.
KNOWN = {
    "AB_225_a_b": build(225, 5.64, ["Na", "Cl"], [O, H]),  # rock salt
    "AB_221_a_b": build(221, 4.12, ["Cs", "Cl"], [O, H]),  # cesium chloride
    "AB_216_a_c": build(216, 5.41, ["Zn", "S"], [O, Q]),  # zincblende
    "AB_186_b_b": build(  # wurtzite
        186, (3.82, 3.82, 6.26), ["Zn", "S"], [(*THIRD, 0), (*THIRD, 0.375)], gamma=120
    ),
    "AB2_225_a_c": build(225, 5.46, ["Ca", "F"], [O, Q]),  # fluorite
    "AB2_136_a_f": build(136, (4.6, 4.6, 2.96), ["Ti", "O"], [O, (0.305, 0.305, 0)]),
    "ABC3_221_a_b_c": build(  # cubic perovskite
        221, 3.9, ["Sr", "Ti", "O"], [O, H, (0.5, 0.5, 0)]
    ),
    "ABC3_99_a_b_ac": build(  # tetragonal perovskite, ferroelectric
        99,
        (3.99, 3.99, 4.04),
        ["Ba", "Ti", "O", "O"],
        [O, (0.5, 0.5, 0.52), (0.5, 0.5, 0.96), (0.5, 0, 0.46)],
    ),
    "ABC3_62_a_c_cd": build(  # orthorhombic perovskite
        62,
        (5.4, 7.6, 5.3),
        ["Ca", "Ti", "O", "O"],
        [(0.03, 0.25, 0.993), (0, 0, 0.5), (0.484, 0.25, 0.07), (0.29, 0.04, 0.71)],
    ),
    "AB3_221_a_c": build(221, 3.75, ["Au", "Cu"], [O, (0, 0.5, 0.5)]),  # AuCu3
    "AB3_221_a_d": build(221, 3.75, ["Re", "O"], [O, (0.5, 0, 0)]),  # ReO3
    "ABC2_225_a_b_c": build(225, 5.95, ["Mn", "Al", "Cu"], [O, H, Q]),  # Heusler
    "ABC_216_a_b_c": build(216, 5.95, ["Mn", "Al", "Cu"], [O, H, Q]),  # half-Heusler
    "AB_216_a_c, other sites": build(216, 5.41, ["Zn", "S"], [TQ, H]),
    "AB_225_a_b, other origin": build(225, 4.2, ["O", "Mg"], [O, H]),
    "A_225_a": build(225, 3.6, ["Cu"], [O]),
    "A_229_a": build(229, 2.9, ["Fe"], [O]),
    "A_227_a": build(227, 3.57, ["C"], [O]),
}


@pytest.fixture(scope="module")
def known():
    return list(KNOWN.values())


def test_labels_of_known_prototypes(known):
    expected = [name.split(",")[0] for name in KNOWN]
    assert prototypes(known) == expected


def test_generated_crystals_of_a_prototype_have_its_label():
    crystals = make_ionic_crystals(60, max_strain=0, random_state=0)
    names, labels = crystals.prototype.tolist(), prototypes(crystals.data)
    assert set(zip(names, labels, strict=True)) == {
        ("rocksalt", "AB_225_a_b"),
        ("cesium_chloride", "AB_221_a_b"),
        ("zincblende", "AB_216_a_c"),
        ("fluorite", "AB2_225_a_c"),
        ("antifluorite", "AB2_225_a_c"),  # elements are exchanged
        ("perovskite", "ABC3_221_a_b_c"),
    }


# Descriptions of the same crystal


@pytest.mark.parametrize("seed", range(4))
def test_labels_do_not_depend_on_the_description(known, describe_anew, seed):
    rng = np.random.default_rng(seed)
    others = [describe_anew(each, rng, max_det=4) for each in known]
    assert prototypes(others) == prototypes(known)


def test_labels_of_real_crystals_do_not_depend_on_the_description(
    real_crystals, describe_anew
):
    structures = [each for each in real_crystals[0] if len(each) <= 30][:100]
    rng = np.random.default_rng(0)
    others = [describe_anew(each, rng, max_det=2) for each in structures]
    expected = prototypes(structures, symprec=0.01)
    assert prototypes(others, symprec=0.01) == expected
    assert len(set(expected)) > 50


@pytest.mark.parametrize("scaling", [[2, 1, 1], [2, 2, 1], [1, 3, 2]])
def test_supercells_have_the_label_of_their_cell(known, scaling):
    cells = [each.make_supercell(scaling, in_place=False) for each in known]
    assert prototypes(cells) == prototypes(known)


def test_mirror_images_have_one_label():
    lengths, elements = (4.91, 4.91, 5.4), ["Si", "O"]
    left = [(0.47, 0, 1 / 3), (0.41, 0.27, 0.22)]
    right = [(0.47, 0, 2 / 3), (0.41, 0.27, 0.78)]
    quartz = [
        build(152, lengths, elements, left, gamma=120),
        build(154, lengths, elements, right, gamma=120),
    ]
    assert prototypes(quartz) == ["AB2_152_a_c"] * 2


def test_other_properties_of_sites_do_not_matter(known):
    charged = [each.copy() for each in known]
    for each in charged:
        each.add_site_property("magmom", np.linspace(-1, 1, len(each)).tolist())
        each.add_oxidation_state_by_site(np.arange(len(each)).tolist())
    assert prototypes(charged) == prototypes(known)


# What the tolerance does


def test_symprec_decides_which_distortions_count():
    perovskite = KNOWN["ABC3_221_a_b_c"].copy()
    perovskite.translate_sites([1], [0, 0, 0.03], frac_coords=False)
    perovskite.perturb(0.001, seed=0)
    assert prototype(perovskite) == "ABC3_221_a_b_c"
    assert prototype(perovskite, symprec=0.01) == "ABC3_99_a_b_ac"
    assert prototype(perovskite, symprec=1e-4) == "ABC3_1_a_a_3a"


# Crystals without a label


def test_a_crystal_without_symmetry_is_named():
    twice = Structure(Lattice.cubic(4), ["Cs", "Cs", "Cl"], [O, (0.01, 0, 0), H])
    cells = [KNOWN["AB_221_a_b"]] * 20 + [twice]
    message = r"^X\[20\] \(Cs2Cl\) has no prototype: .* symprec=0\.1 .*; pass a smaller"
    for n_jobs in (None, 2):
        with pytest.raises(StructureError, match=message) as caught:
            prototypes(cells, n_jobs=n_jobs)
        assert caught.value.index == 20
    assert prototype(twice, symprec=0.01).startswith("AB2_")


def test_a_crystal_that_is_not_periodic_has_no_prototype():
    slab = Structure(Lattice(5 * np.eye(3), pbc=(True, True, False)), ["Cu"], [O])
    with pytest.raises(
        StructureError, match=r"X\[0\] \(Cu\) has no .*not periodic.*group by"
    ):
        prototype(slab)


def test_labels_from_several_processes_are_in_order(known):
    structures = known * 3  # more than one chunk
    assert prototypes(structures, n_jobs=2) == prototypes(structures)
