"""Values that no parameter should have, in many guises."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor

CRYSTALS = [
    Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0] * 3, [0.5] * 3]),
    Structure(Lattice.cubic(3.4), ["Po"], [[0] * 3]),
]

negative = st.one_of(st.integers(max_value=-1), st.floats(max_value=-1e-9))
no_number = st.one_of(
    st.text(max_size=3), st.none(), st.lists(st.integers(), max_size=2)
)
counts = st.one_of(negative, no_number, st.just(0), st.floats(1.01, 1.99))
shares = st.one_of(negative, no_number, st.floats(1.0, 9), st.just(np.nan))
names = st.one_of(st.integers(), st.text("xyz", min_size=1, max_size=4), st.none())
parts = st.one_of(names, st.sampled_from([int, str, Structure, np.ndarray]))
PARAMETERS = {
    "featurizer": st.one_of(st.text(max_size=3), st.integers()),
    "pretrained": st.one_of(st.integers(), st.lists(st.integers(), max_size=2)),
    "freeze": st.one_of(negative, st.text("xyz"), st.floats(0.1, 0.9)),
    "conv": parts,
    "pooling": parts,
    "readout": parts,
    "n_conv_layers": counts,
    "n_site_channels": counts,
    "n_hidden_layers": st.one_of(negative, no_number, st.floats(0.1, 0.9)),
    "n_hidden_channels": counts,
    "site_features": st.one_of(
        names,
        st.lists(st.floats(), max_size=3),
        st.dictionaries(st.integers(), st.none(), max_size=3),
        st.lists(st.text("xyz", min_size=1, max_size=3), min_size=1, max_size=3),
    ),
    "edge_basis": st.one_of(st.integers(), st.text("xyz", min_size=1, max_size=4)),
    "baseline": st.one_of(st.integers(), st.text("xyz", min_size=1, max_size=4)),
    "norm": st.one_of(st.integers(), st.text("xyz", min_size=1, max_size=4)),
    "activation": names,
    "dropout": shares,
    "loss": names,
    "optimizer": names,
    "lr": st.one_of(negative, no_number, st.just(0.0), st.just(np.nan)),
    "lr_schedule": names,
    "weight_decay": st.one_of(negative, no_number, st.just(np.nan)),
    "max_epochs": counts,
    "batch_size": counts,
    "early_stopping": st.one_of(st.text(max_size=3), st.none(), st.integers(2, 9)),
    "validation_fraction": st.one_of(shares, st.just(0.0)),
    "n_iter_no_change": counts,
    "class_weight": st.one_of(st.text("xyz", min_size=1), st.integers()),
    "warm_start": st.one_of(st.text(max_size=3), st.none(), st.integers(2, 9)),
    "callbacks": st.one_of(st.text(max_size=3), st.integers()),
    "checkpoint_dir": st.one_of(st.integers(), st.lists(st.integers(), max_size=2)),
    "device": st.one_of(st.integers(2, 9), st.none(), st.text("xyz", min_size=1)),
    "compile": st.one_of(st.text(max_size=3), st.none(), st.integers(2, 9)),
    "matmul_precision": names,
    "random_state": st.one_of(st.text(max_size=3), st.integers(max_value=-1)),
    "on_error": names,
    "n_jobs": st.one_of(st.text(max_size=3), st.floats(0.1, 0.9)),
    "verbose": st.one_of(st.text(max_size=3), st.integers(max_value=-1), st.none()),
}


def test_every_parameter_is_tested():
    both = CGCNNRegressor().get_params() | CGCNNClassifier().get_params()
    assert PARAMETERS.keys() == both.keys()


@pytest.mark.parametrize("name", PARAMETERS)
@settings(
    max_examples=200,
    deadline=5000,  # nothing hangs
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_parameters_out_of_their_range_or_type(name, data):
    value = data.draw(PARAMETERS[name])
    for estimator, target in (
        (CGCNNRegressor(), np.array([0.0, 1.0])),
        (CGCNNClassifier(), np.array([0, 1])),
    ):
        if name in estimator.get_params(deep=False):
            with pytest.raises((ValueError, TypeError), match=rf"{name}\b"):
                estimator.set_params(**{name: value}).fit(CRYSTALS, target)
            assert not hasattr(estimator, "net_")
