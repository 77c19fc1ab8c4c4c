import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from pymatgen.core import IStructure, Molecule
from sklearn.exceptions import DataConversionWarning

from helpers import object_array
from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn._validation import (
    check_class_target,
    check_crystals,
    check_elements,
    check_regression_target,
    check_sample_weight,
    find_unknown_elements,
)
from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError
from sklearn_cgcnn.graphs import CrystalGraphs, Failure


def series(structures):
    index = range(100, 100 + len(structures))
    return pd.Series(object_array(structures), index=index)


@pytest.mark.parametrize(
    "contain",
    [
        list,
        tuple,
        series,
        object_array,
        lambda s: object_array(s)[:, None],
        lambda s: series(s).to_frame("structure"),
        lambda s: [IStructure.from_sites(each) for each in s],
    ],
    ids=["list", "tuple", "Series", "1-D array", "column", "DataFrame", "IStructure"],
)
def test_structures_are_unpacked_from_their_container(irregular, contain):
    # Of equal length, because numpy converts such a list to a 2-D array of sites.
    pairs = [s for s in irregular if len(s) == 2]
    assert len(pairs) > 1
    crystals = check_crystals(contain(pairs))
    assert isinstance(crystals, list)
    assert crystals == pairs


def test_graphs_are_unpacked_from_their_container(irregular):
    graphs = CrystalGraphFeaturizer().transform(irregular)
    assert check_crystals(graphs) is graphs
    for container in (list(graphs), np.asarray(graphs)):
        crystals = check_crystals(container)
        assert isinstance(crystals, CrystalGraphs)
        np.testing.assert_array_equal(crystals.distances, graphs.distances)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda s: s[0], TypeError, r"single Structure; pass \[X\]"),
        (lambda s: iter(s), TypeError, r"list_iterator.*only once; pass list\(X\)"),
        (lambda s: dict(enumerate(s)), TypeError, r"dict; pass list\(X.values\(\)\)"),
        (lambda s: "NaCl.cif", TypeError, "str; read the structures first"),
        (lambda s: None, TypeError, "is of type NoneType"),
        (lambda s: set(), TypeError, "is of type set"),
        (lambda s: [], ValueError, "no crystals: the list is empty; pass at least"),
        (lambda s: np.zeros((3, 4)), ValueError, r"shape \(3, 4\).*select the column"),
        (lambda s: np.zeros(3), TypeError, r"X\[0\] is of type float64"),
        (lambda s: [*s, None], TypeError, r"X\[40\] is of type NoneType"),
        (lambda s: [*s, "NaCl.cif"], TypeError, r"X\[40\] is of type str"),
        (
            lambda s: [s[0], CrystalGraphFeaturizer().transform(s[:1])],
            TypeError,
            r"X\[1\] is of type CrystalGraphs.*featurize all of X or none",
        ),
        (
            lambda s: CrystalGraphFeaturizer().transform(s)[:0],
            ValueError,
            "no crystals: the CrystalGraphs is empty",
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
        "mixed",
        "no graphs",
    ],
)
def test_anything_else_is_refused_with_a_remedy(irregular, make, error, message):
    with pytest.raises(error, match=message):
        check_crystals(make(irregular))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0, np.nan, 2.0], r"y\[1\] is nan, but .*\(not finite: 1 of 3"),
        (["a", "b", "c"], "CGCNNClassifier"),
    ],
)
def test_targets_that_are_not_finite_numbers_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_regression_target(y, 3)


def test_regression_targets_of_any_number_type():
    for y in ([1, 2, 3], np.array([1, 2, 3], dtype=object), pd.Series([1, 2, 3.0])):
        assert check_regression_target(y, 3).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.1, 0.2, 0.3], "continuous"),
        (["a", "a", "a"], "only one class, 'a', but a classifier needs at"),
    ],
)
def test_targets_that_are_not_classes_are_refused(y, message):
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


# ASE Atoms


def test_ase_atoms_are_converted_to_structures(irregular):
    ase = pytest.importorskip("ase")
    from ase.build import bulk

    salt = bulk("NaCl", "rocksalt", a=5.64)
    (structure,) = check_crystals([salt])
    assert set(structure.symbol_set) == {"Na", "Cl"}
    assert structure.volume == pytest.approx(5.64**3 / 4)
    mixed = check_crystals([irregular[0], salt])
    assert mixed == [irregular[0], structure]
    with pytest.raises(TypeError, match=r"single Atoms; pass \[X\]"):
        check_crystals(salt)
    # The featurizer names it, together with structures that cannot become graphs.
    _, failure = check_crystals([salt, ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])])
    assert re.search(r"X\[1\] \(H2\): .* cannot be .*give it a cell", failure.at(1))


# Items that are collected


def test_items_that_are_no_crystals_keep_their_place(irregular):
    graph = CrystalGraphFeaturizer().transform(irregular[:1])
    X = [irregular[0], None, "NaCl.cif", irregular[1], 2.5]
    checked = check_crystals(X, on_error="collect")
    assert [checked[0], checked[3]] == irregular[:2]
    assert checked[1] == Failure("is of type NoneType; leave it out")
    assert all(isinstance(checked[i], Failure) for i in (1, 2, 4))
    # As the estimators do before they pass the list to a featurizer.
    for on_error in ("raise", "collect"):
        assert check_crystals(checked, on_error=on_error) == checked
    for mixture in ([*X, graph], [graph, irregular[0]]):
        with pytest.raises(TypeError, match=r"featurize all of X or none of it"):
            check_crystals(mixture, on_error="collect")


@pytest.mark.parametrize(
    "X",
    [None, "NaCl.cif", {}, iter([]), [], np.zeros((3, 4)), np.zeros((3, 1), complex)],
)
def test_x_itself_is_not_collected(X):
    with pytest.raises((TypeError, ValueError), match=r"^(X|Complex data not)"):
        check_crystals(X, on_error="collect")


# Elements without features


def test_all_crystals_with_unknown_elements_are_named(ionic):
    graphs = CrystalGraphFeaturizer().transform(ionic.data)
    known = np.ones(104, dtype=bool)
    assert find_unknown_elements(graphs, known) == {}
    check_elements(graphs, known)
    known[[9, 17]] = False
    holding = [
        index
        for index, structure in enumerate(ionic.data)
        if {"F", "Cl"} & {each.symbol for each in structure.elements}
    ]
    assert 1 < len(holding) < len(graphs)
    unknown = find_unknown_elements(graphs, known)
    assert list(unknown) == holding
    assert all(re.match("contains (F|Cl), but", each) for each in unknown.values())
    with pytest.raises(StructureError, match=rf"^{len(holding)} of 60 crystals") as e:
        check_elements(graphs, known)
    assert (e.value.index, e.value.failed) == (holding[0], unknown)
    left = graphs.with_failed(unknown)
    check_elements(left, known)
    assert list(left.failed) == holding
    with pytest.raises(StructureError, match=r"^X\[0\] contains (F|Cl), but site_feat"):
        check_elements(graphs[holding[:1]], known)


# Error messages


def test_the_error_for_a_molecule_explains_how_to_add_a_lattice():
    molecule = Molecule(["O", "H"], [[0] * 3, [0, 0, 1]])
    with pytest.raises(TypeError, match=r"X is a Molecule, which has no lattice; give"):
        check_crystals(molecule)
    with pytest.raises(TypeError, match=r"X\[0\].*\(H1 O1\).*get_boxed_structure"):
        check_crystals([molecule])


def test_graphs_of_mixed_settings_are_refused(irregular):
    first = CrystalGraphFeaturizer().transform(irregular[:1])
    second = CrystalGraphFeaturizer(max_neighbors=6).transform(irregular[:1])
    message = (
        r"X\[1\] and X\[0\] were made with different .*max_neighbors=6 instead of 12"
    )
    with pytest.raises(GraphSettingsError, match=message):
        check_crystals([first, second])


def test_complex_x_is_refused_in_the_words_of_scikit_learn():
    with pytest.raises(
        ValueError, match="Complex data not supported: X contains complex"
    ):
        check_crystals(np.zeros((3, 1), dtype=complex))


@pytest.mark.parametrize("check", [check_regression_target, check_class_target])
@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, "requires y to be passed, but the target y is None"),
        ([1, 2], ValueError, "y has 2 values for 3 crystals in X; pass one per"),
        (
            [[1, 2], [3], [4]],
            ValueError,
            "y has rows of different lengths; pass the same",
        ),
        ([1, None, 2], ValueError, r"y\[1\] is None"),
        ([1j, 2j, 3j], ValueError, "Complex data not supported: y is complex"),
        (np.zeros((3, 2, 1)), ValueError, r"y has shape \(3, 2, 1\), but must have"),
        (np.zeros((3, 0)), ValueError, r"y has shape \(3, 0\)"),
        (5.0, ValueError, r"y has shape \(\), but must have"),
        (scipy.sparse.eye(3).tocsr(), TypeError, r"y is a sparse.*pass y.toarray\(\)"),
        ([1, 2, np.nan], ValueError, r"y\[2\] is nan"),
        ([1, np.inf, 1], ValueError, r"y\[1\] is inf"),
    ],
    ids=str,
)
def test_invalid_targets_of_both_estimators(check, y, error, message):
    with pytest.raises(error, match=message):
        check(y, 3)


def test_the_expected_shape_of_a_target_is_named():
    with pytest.raises(
        ValueError, match=r"shape \(n_crystals,\) or \(n_crystals, n_outputs\)$"
    ):
        check_regression_target(5.0, 1)
    with pytest.raises(ValueError, match=r"must have shape \(n_crystals,\)$"):
        check_class_target(np.zeros((3, 2)), 3)


def test_a_none_in_a_table_is_named_by_its_position():
    y = np.array([[1, 2], [3, 4], [5, None]], dtype=object)
    with pytest.raises(ValueError, match=r"y\[2, 1\] is None.*with NaN"):
        check_regression_target(y, 3)


def test_a_column_of_labels_causes_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        classes, codes = check_class_target(np.array([["b"], ["a"], ["b"]]), 3)
    assert classes.tolist() == ["a", "b"]
    assert codes.tolist() == [1, 0, 1]
    assert codes.dtype == np.int64


@pytest.mark.parametrize("shape", [(6,), (6, 1), (3, 2)])
def test_numbers_keep_their_shape(shape):
    y = np.arange(6).reshape(shape)
    checked = check_regression_target(y, len(y))
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, y)


def test_a_table_may_lack_values_but_not_a_whole_column():
    y = np.array([[1, np.nan], [np.nan, 2.0], [3, 4]])
    np.testing.assert_array_equal(check_regression_target(y, 3), y)
    y[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"y\[:, 1\] is NaN for every crystal"):
        check_regression_target(y, 3)
    # A row may lack all its values.
    crystal_without = np.array([[np.nan, np.nan, np.nan], [1, 2, 3.0]])
    assert check_regression_target(crystal_without, 2).shape == (2, 3)
    with pytest.raises(ValueError, match=r"y\[:, 2\] is NaN for every crystal"):
        check_regression_target([[1, 2, np.nan], [np.nan, 2, np.nan]], 2)
    y[1, 1] = -np.inf
    with pytest.raises(ValueError, match=r"y\[1, 1\] is -inf.*\(not finite: 1 of 6"):
        check_regression_target(y, 3)


@pytest.mark.parametrize(
    ("y", "entry"),
    [
        (["a", "b"], r"y\[0\] is of type str"),
        ([1.0, "b"], r"y\[1\] is of type str"),
        ([1, [2]], r"y\[1\] is of type list"),
    ],
)
def test_position_and_type_of_a_target_that_is_not_a_number_are_named(y, entry):
    values = np.empty(2, dtype=object)
    values[:] = y
    with pytest.raises(ValueError, match=f"{entry}, but a regressor needs numbers"):
        check_regression_target(values, 2)


def test_labels_that_cannot_be_sorted():
    y = np.array([1, "a", 2], dtype=object)
    with pytest.raises(
        ValueError, match=r"labels that cannot.*convert all labels to one"
    ):
        check_class_target(y, 3)


# Sample weights


def test_sample_weights_of_every_form():
    np.testing.assert_array_equal(check_sample_weight(None, 3), [1, 1, 1])
    np.testing.assert_array_equal(check_sample_weight(2, 3), [2, 2, 2])
    np.testing.assert_array_equal(check_sample_weight([0, 1, 2], 3), [0, 1, 2])
    assert check_sample_weight(None, 3).dtype == np.float64
    assert check_sample_weight(pd.Series([1, 2], index=[5, 6]), 2).dtype == np.float64


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, 2], r"has shape \(2,\) for 3 crystals in X; pass one weight per"),
        (np.ones((3, 1)), r"has shape \(3, 1\)"),
        ([1, -1, 1], r"sample_weight\[1\] is -1.0, but weights must be finite and not"),
        ([1, 1, np.nan], r"sample_weight\[2\] is nan"),
        ([np.inf, 1, 1], r"sample_weight\[0\] is inf"),
        ([0, 0, 0], "sample_weight is zero for every crystal"),
        (["a", 1, 1], "sample_weight contains values that are not numbers"),
        (-1.0, r"sample_weight\[0\] is -1.0"),
    ],
    ids=str,
)
def test_invalid_sample_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        check_sample_weight(weight, 3)
