import numpy as np
import pandas as pd
import pytest
from pymatgen.core import IStructure, Molecule

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn._validation import (
    check_class_target,
    check_crystals,
    check_regression_target,
)
from sklearn_cgcnn.graphs import CrystalGraphs


def object_array(structures, shape):
    array = np.empty(len(structures), dtype=object)
    array[:] = structures
    return array.reshape(shape)


def series(structures):
    return pd.Series(
        object_array(structures, -1), index=range(100, 100 + len(structures))
    )


@pytest.mark.parametrize(
    "contain",
    [
        list,
        tuple,
        series,
        lambda s: object_array(s, -1),
        lambda s: object_array(s, (-1, 1)),
        lambda s: series(s).to_frame("structure"),
        lambda s: [IStructure.from_sites(each) for each in s],
    ],
    ids=["list", "tuple", "Series", "1-D array", "column", "DataFrame", "IStructure"],
)
def test_structures_are_found_in_whatever_they_come(irregular, contain):
    # Of equal sizes: numpy would take such a list for a matrix of sites.
    pairs = [s for s in irregular if len(s) == 2]
    assert len(pairs) > 1
    found = check_crystals(contain(pairs))
    assert isinstance(found, list)
    assert found == pairs


def test_graphs_are_found_in_whatever_they_come(irregular):
    graphs = CrystalGraphFeaturizer().transform(irregular)
    assert check_crystals(graphs) is graphs
    for contained in (list(graphs), np.asarray(graphs)):
        found = check_crystals(contained)
        assert isinstance(found, CrystalGraphs)
        np.testing.assert_array_equal(found.distances, graphs.distances)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda s: s[0], TypeError, r"single Structure; write \[X\]"),
        (lambda s: iter(s), TypeError, "list_iterator"),
        (lambda s: dict(enumerate(s)), TypeError, "dict"),
        (lambda s: "NaCl.cif", TypeError, "str"),
        (lambda s: None, TypeError, "NoneType"),
        (lambda s: set(), TypeError, "set"),
        (lambda s: [], ValueError, "no crystals"),
        (lambda s: np.zeros((3, 4)), ValueError, r"shape \(3, 4\).*its one column"),
        (lambda s: np.zeros(3), TypeError, r"X\[0\] is of type float64"),
        (lambda s: [*s, None], TypeError, r"X\[40\] is of type NoneType"),
        (lambda s: [*s, "NaCl.cif"], TypeError, r"X\[40\] is of type str"),
        (
            lambda s: [Molecule(["H"], [[0] * 3])],
            TypeError,
            r"X\[0\] is of type Molecule",
        ),
        (
            lambda s: [s[0], CrystalGraphFeaturizer().transform(s[:1])],
            TypeError,
            r"X\[1\] is of type CrystalGraphs",
        ),
        (
            lambda s: CrystalGraphFeaturizer().transform(s)[:0],
            ValueError,
            "no crystals",
        ),
    ],
    ids=[
        "bare structure",
        "iterator",
        "dict",
        "path",
        "None",
        "set",
        "empty list",
        "matrix",
        "numbers",
        "with None",
        "with path",
        "molecule",
        "mixed",
        "no graphs",
    ],
)
def test_anything_else_is_refused_with_the_remedy(irregular, make, error, message):
    with pytest.raises(error, match=message):
        check_crystals(make(irregular))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None"),
        ([1.0, 2.0], "2 values for 3 crystals"),
        ([1.0, np.nan, 2.0], r"y\[1\] is nan, one of 1 values"),
        ([1.0, 2.0, np.inf], r"y\[2\] is inf"),
        (["a", "b", "c"], "CGCNNClassifier"),
        (np.zeros((3, 2, 2)), r"y has shape \(3, 2, 2\)"),
    ],
)
def test_targets_that_are_no_numbers_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_regression_target(y, 3)


def test_regression_targets_of_any_number_type():
    for y in ([1, 2, 3], np.array([1, 2, 3], dtype=object), pd.Series([1, 2, 3.0])):
        assert check_regression_target(y, 3).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None"),
        (["a"], "1 values for 3 crystals"),
        ([0.1, 0.2, 0.3], "continuous"),
        (["a", "a", "a"], "one class only"),
    ],
)
def test_targets_that_are_no_classes_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_class_target(y, 3)


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "c"],
        [True, False, True],
        [3, -1, 7],
        np.array(["x", "y", "x"], object),
    ],
)
def test_class_labels_of_any_type(labels):
    classes, codes = check_class_target(labels, 3)
    assert classes.tolist() == sorted(set(np.asarray(labels).tolist()))
    np.testing.assert_array_equal(classes[codes], labels)
