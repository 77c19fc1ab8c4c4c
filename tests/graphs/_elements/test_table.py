import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Element, Species

from sklearn_cgcnn.graphs import element_table, one_hot_site_features

# Masses and radii. Their values do not matter here.
MAPPING = {"H": [1.0, 25.0], "Na": [23.0, 180.0], "Cl": [35.5, 100.0]}
FRAME = pd.DataFrame(MAPPING, index=["mass", "radius"]).T
ARRAY = np.full((18, 2), np.nan)
ARRAY[[1, 11, 17]] = list(MAPPING.values())


def as_file(tmp_path, content):
    path = tmp_path / "atom_init.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "table",
    [
        MAPPING,
        {
            Element("H"): (1, 25),
            Species("Na", 1): [23, 180],
            Element("Cl"): [35.5, 100],
        },
        {1: [1, 25], 11: [23, 180], 17: [35.5, 100]},
        {"1": [1, 25], "11": [23, 180], "17": np.array([35.5, 100])},
        FRAME,
        FRAME.set_index(pd.Index([1, 11, 17])),
        FRAME.set_index(pd.Index([1.0, 11.0, 17.0])),
        ARRAY,
        ARRAY.tolist(),
        np.vstack([[0.0, 0.0], ARRAY[1:]]),
    ],
    ids=[
        "symbols",
        "elements",
        "atomic numbers",
        "strings of numbers",
        "frame",
        "frame by number",
        "frame by real number",
        "array",
        "list",
        "array after zeros",
    ],
)
def test_every_form_gives_the_same_table(table):
    found = element_table(table)
    assert found.shape == (104, 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:18], ARRAY.astype(np.float32)[:18])
    assert np.isnan(found[18:]).all()


def test_a_file_of_the_released_form(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 2, (100, 92))
    content = {str(z): features[z - 1].tolist() for z in range(1, 101)}
    path = as_file(tmp_path, content)
    for given in (path, str(path)):
        found = element_table(given)
        np.testing.assert_array_equal(found[1:101], features)
        assert np.isnan(found[[0, 101, 102, 103]]).all()


def test_the_released_file_itself(data_folder):
    path = data_folder / "original" / "sample-regression" / "atom_init.json"
    found = element_table(path)
    assert found.shape == (104, 92)
    assert np.isfinite(found[1:101]).all()
    # Hydrogen is in group 1 and period 1. The file has a column for group 0 too.
    assert found[1, [1, 19]].tolist() == [1, 1]


def test_properties_of_the_paper():
    np.testing.assert_array_equal(element_table("properties"), one_hot_site_features())
    for names in (["group", "period"], ("group", "period", "electronegativity")):
        expected = one_hot_site_features(names)
        np.testing.assert_array_equal(element_table(names), expected)


def test_learned_features_tell_all_elements_apart():
    np.testing.assert_array_equal(element_table("learned"), np.eye(104))


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (3, TypeError, "site_features must be .* got an object of type int"),
        ({3}, TypeError, "site_features must be .* got an object of type set"),
        ("propertys", ValueError, "site_features must be .* got 'propertys'"),
        (["group", "color"], ValueError, r"must be among .*got \['color'\]"),
        (["group", "group"], ValueError, "not name a property twice"),
        (["group", 2], ValueError, "must be among"),
        ({"Xx": [1.0]}, ValueError, "features for 'Xx', which is not an element"),
        ({0: [1.0], 1: [2.0]}, ValueError, "for 0, which is not an element"),
        ({104: [1.0]}, ValueError, "for 104, which is not an element"),
        ({11.5: [1.0]}, ValueError, r"for 11.5, which is not an element"),
        ({"Na": [1.0], 11: [1.0]}, ValueError, "'Na' and 11, which are the same"),
        ({"Na": [1.0], "Cl": [1.0, 2.0]}, ValueError, "vector of the same length"),
        ({"Na": ["red"]}, ValueError, "cannot be converted to a matrix of numbers"),
        ({"Na": 1.0}, ValueError, r"shape \(1,\)"),
        ({"Na": []}, ValueError, r"shape \(1, 0\)"),
        ({}, ValueError, "expected a vector of features for each element"),
        (FRAME.reset_index(), ValueError, "for 0, which is not an element"),
        (FRAME.iloc[:0], ValueError, r"shape \(0, 2\)"),
        (np.zeros((105, 3)), ValueError, r"shape \(105, 3\)"),
        (np.zeros(5), ValueError, r"shape \(5,\)"),
        ([[1.0, 2.0], [3.0, 4.0]], ValueError, "put a row of zeros before it"),
    ],
    ids=str,
)
def test_tables_that_are_none(table, error, message):
    with pytest.raises(error, match=message):
        element_table(table)


@pytest.mark.parametrize(
    ("content", "message"),
    [("[1, 2]", "holds a list"), ("{", "cannot be read as JSON"), ("é", "as JSON")],
)
def test_files_that_hold_no_table(tmp_path, content, message):
    path = tmp_path / "table.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        element_table(path)
    with pytest.raises(ValueError, match="cannot be read"):
        element_table(tmp_path / "missing.json")
