"""Warnings about crystals that a model cannot know much about."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.frozen import FrozenEstimator

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.exceptions import ExtrapolationWarning


def rock_salt(a, cation, anion):
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


@pytest.fixture(scope="module")
def known():
    return [rock_salt(a, "Na", "Cl") for a in (5.4, 5.6, 5.8)]


@pytest.fixture(scope="module")
def model(known):
    return CGCNNRegressor(**SMALL).fit(known, [0.0, 1.0, 2.0])


def warnings_of(function, *args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args)
    return [str(w.message) for w in caught if w.category is ExtrapolationWarning]


def test_new_elements_are_named_once_a_call(model, known):
    new = [*known, rock_salt(6, "K", "Br"), rock_salt(5, "Na", "Br")]
    (message,) = warnings_of(model.predict, new)
    assert message.startswith("X[3] and 1 other crystal have elements")
    assert "(K, Br)" in message or "(Br, K)" in message
    assert warnings_of(model.predict, known) == []
    (message,) = warnings_of(model.predict, new[:4])
    assert message.startswith("X[3] has elements")


def test_copies_remember_the_elements(model):
    new = [rock_salt(6, "K", "Br")]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert len(warnings_of(twin.predict, new)) == 1


def test_what_is_trained_later_is_known(model, known):
    new = [rock_salt(6, "K", "Br"), rock_salt(6.2, "K", "Br")]
    tuned = CGCNNRegressor(pretrained=FrozenEstimator(model), **SMALL)
    tuned.fit(new, [0.0, 1.0])
    assert warnings_of(tuned.predict, [*known, *new]) == []
    continued = copy.deepcopy(model).partial_fit(new, [0.0, 1.0])
    assert warnings_of(continued.predict, [*known, *new]) == []
    again = copy.deepcopy(model).fit(new, [0.0, 1.0])
    assert len(warnings_of(again.predict, known)) == 1


def test_weights_from_elsewhere_may_know_any_element(model):
    weights = model.net_.module_.state_dict()
    loaded = CGCNNRegressor(**SMALL).load_weights(weights)
    assert warnings_of(loaded.predict, [rock_salt(6, "K", "Br")]) == []
    tuned = CGCNNRegressor(pretrained=FrozenEstimator(loaded), **SMALL)
    tuned.fit([rock_salt(6, "K", "Br")] * 2, [0.0, 1.0])
    assert warnings_of(tuned.predict, [rock_salt(6, "Na", "Cl")]) == []


def test_edges_across_vacuum_are_named_once_a_call(model, known):
    molecule = Structure(Lattice.cubic(12), ["Na", "Cl"], [[0, 0, 0], [0.2, 0, 0]])
    (message,) = warnings_of(model.predict, [*known, molecule])
    assert message.startswith("X[3] has edges longer than 8 Å (up to 12.")
    model = CGCNNRegressor(**SMALL)
    fitted = [*known, molecule, molecule]
    (message,) = warnings_of(model.fit, fitted, np.arange(5.0))
    assert message.startswith("X[3] and 1 other crystal have edges")

    def fit_with_validation():
        model.fit(known, np.arange(3.0), X_val=[known[0], molecule], y_val=[0.0, 1.0])

    (message,) = warnings_of(fit_with_validation)
    assert message.startswith("X_val[1] has edges")


def test_the_warning_can_be_an_error_or_silent(model):
    new = [rock_salt(6, "K", "Br")]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExtrapolationWarning)
        with pytest.raises(ExtrapolationWarning, match="extrapolations"):
            model.predict(new)
        warnings.simplefilter("ignore", ExtrapolationWarning)
        model.predict(new)
