"""All of scikit-learn's checks of an estimator.

They feed matrices of numbers. The honest estimators take none and say so in their tags,
whereupon most checks are left out. So an adapter hides every row of a matrix in a
crystal; what then runs is the product's own code.
"""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.utils.estimator_checks import estimator_checks_generator
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
    """Takes matrices, as scikit-learn's checks want to give them."""

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
        check_is_fitted(self)
        if not isinstance(X, list):
            X = self._as_crystals(X, reset=False)
        return super().predict(X)


class RowRegressor(RowPredictor, CGCNNRegressor):
    pass


class RowClassifier(RowPredictor, CGCNNClassifier):
    def predict_proba(self, X):
        check_is_fitted(self)
        if not isinstance(X, list):
            X = self._as_crystals(X, reset=False)
        return super().predict_proba(X)


class RowFeaturizer(Rows, CrystalGraphFeaturizer):
    """Gives a matrix too: of each graph what numbers can say of it."""

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
SUBSETS = pytest.mark.xfail(
    reason="single precision: a product of matrices rounds by the size of the batch, "
    "about 1e-7, where the check allows 1e-7",
    strict=False,  # a matter of processors
)
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
    "check_methods_subset_invariance": SUBSETS,
}


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
            name = check.func.__name__
            mark = EXPECTED_FAILURES.get(name)
            marks = [mark] if mark and isinstance(estimator, RowPredictor) else []
            yield pytest.param(each, check, marks=marks)


@pytest.mark.parametrize(("estimator", "check"), list(every_check()), ids=in_words)
def test_check(estimator, check):
    check(estimator)
