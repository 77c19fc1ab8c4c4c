"""Input that no crystal, target or parameter should be: every kind, in many guises.

Whatever it is, it is refused at once, with an error of the right type that names the
argument, where in it the trouble lies, and what to do; and the estimator is as before.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pymatgen.core import DummySpecies, Lattice, Molecule, Structure
from sklearn.base import clone

from helpers import object_array
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError

GOOD = [
    Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0] * 3, [0.5] * 3]),
    Structure(Lattice.cubic(3.4), ["Po"], [[0] * 3]),
    Structure(
        Lattice.hexagonal(2.9, 4.7), ["Mg", "Mg"], [[0] * 3, [1 / 3, 2 / 3, 0.5]]
    ),
    Structure(Lattice.orthorhombic(3, 4, 5), ["Fe", "O"], [[0] * 3, [0.5, 0.5, 0.4]]),
]
N = len(GOOD)
index = st.integers(0, N - 1)
not_finite = st.sampled_from([np.nan, np.inf, -np.inf])
many = settings(
    max_examples=200,
    deadline=5000,  # nothing hangs
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def assert_refused(make, error, *patterns, X=GOOD, y=None, **fit_params):
    """Check the refusal of a fit by both estimators, and of X by the featurizer."""
    y_number = np.arange(float(N)) if y is None else y
    y_class = np.arange(N) % 2 if y is None else y
    for estimator, target in make(y_number, y_class):
        before = clone(estimator).get_params()
        state = vars(estimator).copy()
        transform = getattr(estimator, "transform", None)
        with pytest.raises(error) as caught:
            transform(X) if transform else estimator.fit(X, target, **fit_params)
        for pattern in patterns:
            assert re.search(pattern, str(caught.value)), str(caught.value)
        assert vars(estimator) == state
        assert repr(estimator.get_params()) == repr(before)


def all_three(y_number, y_class):
    return [
        (CrystalGraphFeaturizer(), None),
        (CGCNNRegressor(), y_number),
        (CGCNNClassifier(), y_class),
    ]


def both(y_number, y_class):
    return all_three(y_number, y_class)[1:]


def regressor(y_number, y_class):
    return [(CGCNNRegressor(), y_number)]


def classifier(y_number, y_class):
    return [(CGCNNClassifier(), y_class)]


def with_item(at, item):
    return [item if i == at else each for i, each in enumerate(GOOD)]


containers = st.sampled_from(
    [
        list,
        tuple,
        object_array,
        lambda X: object_array(X)[:, None],
        lambda X: pd.Series(object_array(X), index=range(7, 7 + len(X))),
        lambda X: pd.DataFrame({"structure": object_array(X)}),
    ]
)

# X as a whole

wholes = st.one_of(
    st.tuples(st.sampled_from(GOOD), st.just(r"pass \[X\]")),
    st.tuples(
        st.dictionaries(st.text(max_size=3), st.sampled_from(GOOD)),
        st.just(r"pass list\(X.values\(\)\)"),
    ),
    st.tuples(
        st.one_of(
            st.text(max_size=12),
            st.binary(max_size=12),
            st.text("abc./", min_size=1).map(Path),
        ),
        st.just("read the structures first.*loader from sklearn_cgcnn.datasets"),
    ),
    st.tuples(
        st.just(Molecule(["O", "H"], [[0] * 3, [0, 0, 1]])), st.just("has no lattice")
    ),
    st.tuples(
        st.one_of(
            st.none(), st.integers(), st.floats(), st.booleans(), st.just(object)
        ),
        st.just("X is of type"),
    ),
    st.tuples(st.sets(st.integers()), st.just("X is of type set")),
)


@many
@given(wholes)
def test_x_that_holds_no_crystals(whole):
    X, remedy = whole
    assert_refused(all_three, TypeError, "X must be a list", remedy, X=X)


empties = st.one_of(
    containers.map(lambda contain: contain([])),
    st.text("abcdefgh", min_size=1, max_size=5).map(
        lambda name: pd.DataFrame({name: []})
    ),
    st.text("abcdefgh", min_size=1, max_size=5).map(
        lambda name: pd.Series([], name=name, dtype=object)
    ),
    st.integers(0, N).map(lambda n: CrystalGraphFeaturizer().transform(GOOD)[n:n]),
)


@many
@given(empties)
def test_x_that_is_empty(X):
    patterns = "X contains no crystals", "pass at least one"
    assert_refused(all_three, ValueError, *patterns, X=X)


matrices = npst.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.bool_, np.complex128]),
    npst.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4),
)


@many
@given(matrices, st.booleans())
def test_x_of_numbers(matrix, framed):
    X = pd.DataFrame(matrix) if framed and matrix.ndim == 2 else matrix
    assert_refused(all_three, (TypeError, ValueError), r"X(\[0\])? ", "X must be", X=X)


def test_x_that_numpy_made_of_a_list_of_structures():
    pairs = [GOOD[0], GOOD[2]]
    message = "list of structures to an array of their sites; pass the list itself"
    assert_refused(all_three, ValueError, message, X=np.asarray(pairs, dtype=object))


# One item of X

strangers = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.just(Molecule(["O", "H"], [[0] * 3, [0, 0, 1]])),
    st.just({"lattice": 1}),
)


@many
@given(index, strangers, containers)
def test_an_item_that_is_no_structure(at, item, contain):
    X = contain(with_item(at, item))
    patterns = rf"X\[{at}\] is of type {type(item).__name__}", "leave it out"
    assert_refused(all_three, TypeError, *patterns, X=X)


@many
@given(index, st.lists(st.sampled_from(GOOD), max_size=9), containers)
def test_structures_beside_graphs(at, more, contain):
    graph = CrystalGraphFeaturizer().transform(GOOD[:1])
    X = contain([*with_item(at, graph), *more])
    first_other = 1 if at == 0 else at
    patterns = rf"X\[{first_other}\] is of type", "featurize all of X or none"
    assert_refused(all_three, TypeError, *patterns, X=X)


# What has no graph: a structure, and what its error says.


def draw_place(draw):
    return [draw(st.floats(0, 1)) for _ in range(3)]


def no_sites(draw, lattice):
    return Structure(lattice, [], []), "no sites; leave"


def disordered(draw, lattice):
    share = draw(st.floats(0.05, 0.95))
    species = draw(st.sampled_from([{"Fe": share}, {"Fe": share, "Co": 1 - share}]))
    structure = Structure(lattice, ["O", species], [[0] * 3, draw_place(draw)])
    return structure, "site 1 is disordered .*choose an ordered approximation"


def dummy(draw, lattice):
    species = draw(st.sampled_from([DummySpecies("X"), DummySpecies("Q2+"), "Og"]))
    structure = Structure(lattice, ["O", species], [[0] * 3, [0.5] * 3])
    return structure, "site 1 holds .*replace it or leave"


def coincident(draw, lattice):
    first = lattice.get_cartesian_coords(draw_place(draw))
    second = first + [draw(st.floats(-0.05, 0.05)) for _ in range(3)]
    structure = Structure(
        lattice, ["O", "H"], [first, second], coords_are_cartesian=True
    )
    return structure, "sites 0 and 1 lie only .*remove the duplicate"


def place_not_finite(draw, lattice):
    place = draw_place(draw)
    place[draw(st.integers(0, 2))] = draw(not_finite)
    return Structure(lattice, ["O"], [place]), "not finite.*repair"


def infinite_lattice(draw, lattice):
    matrix = lattice.matrix.copy()
    where = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    matrix[where] = draw(st.sampled_from([np.nan, np.inf, 1e200]))
    return Structure(Lattice(matrix), ["O"], [[0] * 3]), "not finite, or longer"


def flat_lattice(draw, lattice):
    a, b = lattice.matrix[:2]
    m, n = draw(st.integers(-3, 3)), draw(st.integers(-3, 3))
    height = draw(st.sampled_from([0.0, 1e-12, 1e-6, 1e-4]))
    flat = Lattice([a, b, m * a + n * b + [0, 0, height]])
    return Structure(flat, ["O"], [[0] * 3]), "flat|remove the duplicate"


def not_periodic(draw, lattice):
    lattice = Lattice(lattice.matrix, pbc=(False, False, False))
    return Structure(lattice, ["O"], [[0] * 3]), "periodic along none"


BROKEN = [
    *(no_sites, disordered, dummy, coincident, place_not_finite, infinite_lattice),
    *(flat_lattice, not_periodic),
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:pymatgen", "ignore::UserWarning")
@many
@given(st.data())
def test_a_structure_that_has_no_graph(broken, data):
    with np.errstate(all="ignore"):
        lengths = [data.draw(st.floats(2.5, 6)) for _ in range(3)]
        structure, message = broken(data.draw, Lattice.orthorhombic(*lengths))
        at = data.draw(index)
        X = data.draw(containers)(with_item(at, structure))
        assert_refused(all_three, StructureError, rf"X\[{at}\] \(", message, X=X)


# Targets


@many
@given(
    index,
    not_finite,
    st.lists(st.floats(-9, 9), min_size=N, max_size=N),
    st.sampled_from([list, np.array, pd.Series, tuple]),
)
def test_targets_that_are_not_finite(at, value, y, contain):
    y = np.array(y)
    y[at] = value
    message = rf"y\[{at}\] is {value}"
    assert_refused(both, ValueError, message, "leave", y=contain(y.tolist()))


@many
@given(index, st.booleans(), st.lists(st.integers(), min_size=N, max_size=N))
def test_a_target_that_is_none(at, whole, numbers):
    y = None if whole else [None if i == at else n for i, n in enumerate(numbers)]
    message = "y is None.*pass one" if whole else rf"y\[{at}\] is None.*leave"
    for estimator, _ in both(None, None):
        with pytest.raises(ValueError, match=message):
            estimator.fit(GOOD, y)


@many
@given(
    npst.arrays(
        np.complex128, N, elements=st.complex_numbers(max_magnitude=9, allow_nan=False)
    )
)
def test_targets_that_are_complex(y):
    assert_refused(both, ValueError, "y is complex; pass y.real", y=y)


@many
@given(
    st.lists(st.integers(-9, 9), max_size=30).filter(lambda y: len(y) != N),
    st.sampled_from([list, np.array, pd.Series, tuple]),
)
def test_targets_of_another_length(y, contain):
    y = contain(y)
    patterns = ("y has", "values for 4 crystals|shape", "pass one|must have")
    assert_refused(both, ValueError, *patterns, y=y)


@many
@given(npst.array_shapes(min_dims=2, max_dims=3, max_side=3), st.integers(2, 4))
def test_targets_of_too_many_dimensions(shape, n_columns):
    patterns = r"y has shape \(4, ", r"must have shape \(n_crystals,\)"
    assert_refused(both, ValueError, *patterns, y=np.zeros((N, *shape)))
    assert_refused(classifier, ValueError, *patterns, y=np.zeros((N, n_columns)))


@many
@given(st.one_of(st.integers(-5, 5), st.text(max_size=4), st.booleans()))
def test_a_single_class(label):
    patterns = "y contains only one class", "at least two"
    assert_refused(classifier, ValueError, *patterns, y=[label] * N)


@many
@given(st.lists(st.text("abcxyz", min_size=1), min_size=N, max_size=N))
def test_labels_for_a_regressor(labels):
    patterns = r"y\[0\] is of type str", "CGCNNClassifier"
    assert_refused(regressor, ValueError, *patterns, y=labels)


# Weights


@many
@given(
    npst.arrays(
        np.float64,
        npst.array_shapes(max_dims=3, min_side=0, max_side=9).filter(
            lambda s: s != (N,)
        ),
        elements=st.floats(0, 9),
    )
)
def test_weights_of_another_length(weight):
    patterns = r"sample_weight has shape", "pass one weight per crystal"
    assert_refused(both, ValueError, *patterns, sample_weight=weight)


@many
@given(index, st.one_of(not_finite, st.floats(max_value=-1e-9, allow_nan=False)))
def test_weights_that_are_negative_or_not_finite(at, value):
    weight = np.ones(N)
    weight[at] = value
    patterns = rf"sample_weight\[{at}\] is ", "finite and not negative; use zero"
    assert_refused(both, ValueError, *patterns, sample_weight=weight)


@many
@given(
    st.lists(st.sampled_from([0, 0.0, -0.0, False]), min_size=N, max_size=N),
    st.sampled_from([list, np.array, pd.Series, tuple]),
)
def test_weights_that_are_all_zero(weight, contain):
    weight = contain(weight)
    patterns = "sample_weight is zero for every crystal", "pass a positive weight"
    assert_refused(both, ValueError, *patterns, sample_weight=weight)


@many
@given(
    index,
    st.lists(st.one_of(st.floats(0, 9), st.none()), min_size=N, max_size=N),
    st.one_of(st.text("abc", min_size=1), st.dictionaries(st.integers(), st.none())),
)
def test_weights_that_are_no_numbers(at, weight, stranger):
    weight[at] = stranger
    patterns = "sample_weight contains values that are not numbers", "pass one number"
    assert_refused(both, ValueError, *patterns, sample_weight=weight)


# Graphs


@many
@given(
    st.integers(1, 30).filter(lambda n: n != 12),
    st.one_of(st.none(), st.floats(5.5, 9)),
    st.booleans(),
)
def test_graphs_of_other_settings(max_neighbors, cutoff, merge):
    featurizer = CrystalGraphFeaturizer(
        max_neighbors=max_neighbors, cutoff=cutoff, merge_equivalent=merge
    )
    graphs = featurizer.transform(GOOD)
    wanted = CrystalGraphFeaturizer()
    patterns = (
        f"max_neighbors={max_neighbors} instead of 12",
        "featurizer_.transform",
    )

    def estimators(y_number, y_class):
        for estimator, target in both(y_number, y_class):
            yield estimator.set_params(featurizer=wanted), target

    assert_refused(estimators, GraphSettingsError, *patterns, X=graphs)
