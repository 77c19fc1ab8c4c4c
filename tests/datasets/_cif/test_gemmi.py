"""What gemmi splits into items is what the parser of this package finds."""

import builtins

import numpy as np
import pytest
from pymatgen.io.cif import CifWriter

from cif_mutations import mutate
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.datasets._cif import _file, _gemmi
from sklearn_cgcnn.datasets._cif._syntax import CIFError, parse_blocks

pytest.importorskip("gemmi", reason="gemmi is optional")


def items(blocks):
    contents = []
    for block in blocks:
        contents.append((block.name, block.remarks))
        contents += [(i.names, i.is_loop, i.values, i.faults) for i in block.items]
    return contents


def assert_same_items(text):
    """Compare, and return whether gemmi was used."""
    blocks = _gemmi.parse_with_gemmi(text)
    if blocks is not None:
        assert items(blocks) == items(parse_blocks(text))
    return blocks is not None


@pytest.mark.parametrize(
    "text",
    [
        "data_a\n_b 'it's'\n_c \"\"\n_d ';'\n",
        "data_a\n_b\n;first\nsecond\n;\n_c ;word\n",
        "data_a\nloop_\n_b\n_C.d\n1 '2 3' # comment\n? .\n",
        "DATA_a\nLOOP_\n_b\nloop_x 'data_y'\n_c 1",
        "# data_x\ndata_a\n_b 1(2)\n",
    ],
)
def test_plain_texts(text):
    assert assert_same_items(text)


@pytest.mark.parametrize(
    "text",
    [
        "data_a\n_b 1\ndata_c\n_b 1\n",
        "_b 1\ndata_a\n_c 1\n",
        "data_\n_b 1\n",
        "data_a\n_b\n_c 1\n",
        "data_a\n_b 1 2\n",
        "data_a\nloop_\n_b\n_c\n1 2 3\n",
        "data_a\n_b 1\n_B 1\n",
        "data_a\n_b 'open\n",
        "data_a\n_b é\n",
        "data_a\nsave_x\n_b 1\nsave_\n",
        "data_a\n_b\n;open\n",
        "data_a\n_b\n;text\n_cell_length_a 5\n;\n",
        "nothing",
    ],
)
def test_faults_are_left_to_the_other_parser(text):
    assert not assert_same_items(text)


def test_mutated_texts(rock_salt, tmp_path):
    crystals = make_ionic_crystals(20, random_state=0).data
    plain = [rock_salt, *(str(CifWriter(each)) for each in crystals)]
    rng = np.random.RandomState(0)
    file = tmp_path / "mutated.cif"
    n_used = 0
    for index in range(1000):
        file.write_bytes(mutate(plain[index % len(plain)], plain, rng))
        try:
            text = _file._text(file)
        except CIFError:
            continue
        n_used += assert_same_items(text)
    assert n_used > 400


def test_published_files(data_folder):
    files = sorted((data_folder / "original").rglob("*.cif"))
    assert sum(assert_same_items(_file._text(file)) for file in files) > 140


def test_without_gemmi(rock_salt, read, monkeypatch):
    def fail(name, *args):
        if name == "gemmi":
            raise ImportError(name)
        return import_(name, *args)

    expected = read(rock_salt)
    import_ = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", fail)
    _gemmi._gemmi.cache_clear()
    try:
        assert _gemmi.parse_with_gemmi(rock_salt) is None
        assert read(rock_salt) == expected
    finally:
        _gemmi._gemmi.cache_clear()
