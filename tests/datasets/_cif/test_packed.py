import pickle

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from cif_readings import contents
from sklearn_cgcnn.datasets._cif import CIFReading
from sklearn_cgcnn.datasets._cif._packed import PackedStructure, pack

LATTICE = Lattice.from_parameters(4, 5, 6, 80, 95, 110)


@pytest.fixture
def structure():
    mixed = {"Fe3+": 0.5, "Ni2+": 0.25}
    return Structure(
        LATTICE,
        ["O2-", mixed, "O2-"],
        np.random.RandomState(0).rand(3, 3),
        labels=["O1", "M", "O2"],
    )


def test_a_reading_is_the_same_after_pickling(structure):
    reading = CIFReading(structure, "", ["a note"])
    assert isinstance(pack(structure), PackedStructure)
    assert contents(pickle.loads(pickle.dumps(reading))) == contents(reading)
    failed = CIFReading(None, "why", [])
    assert pickle.loads(pickle.dumps(failed)) == failed


def test_structures_with_more_than_sites_are_kept(structure):
    charged = structure.copy()
    charged.set_charge(2)
    magnetic = structure.copy(site_properties={"magmom": [1, 2, 3]})
    slab = Structure(Lattice(LATTICE.matrix, (True, True, False)), ["O"], [[0] * 3])
    for each in (charged, magnetic, slab):
        reading = CIFReading(each, "", [])
        assert contents(pickle.loads(pickle.dumps(reading))) == contents(reading)


def test_many_sites_of_one_kind_take_little_space(structure):
    large = structure.make_supercell([4, 4, 4], in_place=False)
    as_arrays = len(pickle.dumps(CIFReading(large, "", [])))
    assert 3 * as_arrays < len(pickle.dumps(large))
