"""All of scikit-learn's checks of an estimator.

They feed matrices of numbers. The honest estimators take none and say so in their tags,
whereupon most checks are left out. So an adapter hides every row of a matrix in a
crystal; what then runs is the product's own code.
"""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.utils.estimator_checks import (
    check_methods_subset_invariance,
    estimator_checks_generator,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer

SMALL = {
    "n_conv_layers": 1,
    "max_epochs": 30,
    "batch_size": 32,
    "lr": 0.02,
    "random_state": 0,
}


def as_crystal(row):
    """Give each number two sites, of an element of its own, as far apart as it says."""
    n = len(row)
    lengths = 1.2 + 1.6 * (np.arctan(row / 3) / np.pi + 0.5)
    feet = np.stack([np.zeros(n), np.zeros(n), 6.0 * np.arange(n)], axis=1)
    tips = feet + lengths[:, None] * [0, 0, 1]
    lattice = Lattice.orthorhombic(6.0, 6.0, 6.0 * n)
    numbers = np.arange(n) % 80 + 3
    return Structure(
        lattice,
        [*numbers, *numbers],
        np.concatenate([feet, tips]),
        coords_are_cartesian=True,
    )


class Rows:
    """Accepts matrices, which are what scikit-learn's checks pass."""

    def _as_crystals(self, X, reset):
        X = validate_data(self, X, reset=reset, dtype=np.float64)
        return [as_crystal(row) for row in X]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class RowPredictor(Rows):
    def fit(self, X, y, sample_weight=None):
        return super().fit(self._as_crystals(X, reset=True), y, sample_weight)

    def partial_fit(self, X, y, **kwargs):
        crystals = self._as_crystals(X, reset=not hasattr(self, "n_features_in_"))
        return super().partial_fit(crystals, y, **kwargs)

    def predict(self, X):
        return super().predict(self._crystals_to_predict(X))

    def _crystals_to_predict(self, X):
        check_is_fitted(self)
        # A method of the estimator that calls another one passes crystals.
        return X if isinstance(X, list) else self._as_crystals(X, reset=False)


class RowRegressor(RowPredictor, CGCNNRegressor):
    pass


class RowClassifier(RowPredictor, CGCNNClassifier):
    def predict_proba(self, X):
        return super().predict_proba(self._crystals_to_predict(X))


class InDoublePrecision:
    def fit(self, X, y):
        super().fit(X, y).net_.module_.double()
        return self


class DoubleRegressor(InDoublePrecision, RowRegressor):
    pass


class DoubleClassifier(InDoublePrecision, RowClassifier):
    pass


class RowFeaturizer(Rows, CrystalGraphFeaturizer):
    """Returns a matrix, too: three numbers that describe each graph."""

    def fit(self, X, y=None):
        return super().fit(self._as_crystals(X, reset=True), y)

    def transform(self, X):
        graphs = super().transform(self._as_crystals(X, reset=False))
        return np.array(
            [
                [graph.n_sites, graph.n_edges, graph.distances @ graph.edge_weights]
                for graph in graphs
            ]
        )


WEIGHTS = pytest.mark.xfail(
    reason="leaving out or repeating crystals makes other batches, whose statistics "
    "differ; scikit-learn expects the same of its own MLP",
    strict=True,
)
EXPECTED_FAILURES = {"check_sample_weight_equivalence_on_dense_data": WEIGHTS}


def in_words(value):
    """Name a test by its estimator and check, with what the check was bound to."""
    if hasattr(value, "func"):
        bound = ",".join(f"{k}={v}" for k, v in value.keywords.items())
        return f"{value.func.__name__}({bound})"
    return type(value).__name__


def every_check():
    estimators = RowRegressor(**SMALL), RowClassifier(**SMALL), RowFeaturizer()
    seen = set()
    for estimator in estimators:
        for each, check in estimator_checks_generator(estimator):
            words = in_words(each), in_words(check)
            if words in seen:  # some releases list a check twice
                continue
            seen.add(words)
            name, is_predictor = check.func.__name__, isinstance(each, RowPredictor)
            if is_predictor and name == "check_methods_subset_invariance":
                continue  # see below
            mark = EXPECTED_FAILURES.get(name)
            marks = [mark] if mark and is_predictor else []
            yield pytest.param(each, check, marks=marks)


@pytest.mark.parametrize(("estimator", "check"), list(every_check()), ids=in_words)
def test_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "estimator", [DoubleRegressor(**SMALL), DoubleClassifier(**SMALL)], ids=in_words
)
def test_predictions_do_not_depend_on_the_batch(estimator):
    """In single precision they do, by rounding: as much as the check allows, 1e-7."""
    check_methods_subset_invariance(type(estimator).__name__, estimator)
