"""The version that is stored with the state of a featurizer.

That of the estimators is tested with their weights, in tests/_estimators.
"""

import copy
import pickle

import pytest

from sklearn_cgcnn import CrystalGraphFeaturizer


def test_a_copy_has_the_same_parameters_and_nothing_else():
    featurizer = CrystalGraphFeaturizer(max_neighbors=7)
    for twin in (pickle.loads(pickle.dumps(featurizer)), copy.deepcopy(featurizer)):
        assert vars(twin) == vars(featurizer)


def test_a_state_without_a_version_is_refused():
    state = CrystalGraphFeaturizer().__getstate__()
    del state["_state_version"]
    with pytest.raises(
        ValueError, match=r"CrystalGraphFeaturizer has state version No"
    ):
        CrystalGraphFeaturizer().__setstate__(state)


def test_a_featurizer_of_version_1_raises_errors():
    state = CrystalGraphFeaturizer(max_neighbors=7).__getstate__()
    del state["on_error"]
    restored = CrystalGraphFeaturizer(on_error="collect")
    restored.__setstate__({**state, "_state_version": 1})
    expected = CrystalGraphFeaturizer(max_neighbors=7)
    assert restored.get_params() == expected.get_params()


def test_a_parameter_that_is_newer_than_a_pickle_gets_the_value_of_its_upgrade(
    monkeypatch,
):
    state = CrystalGraphFeaturizer(max_neighbors=7).__getstate__()
    del state["merge_equivalent"]
    version = CrystalGraphFeaturizer._state_version

    def add_parameter(state):
        state["merge_equivalent"] = False
        return state

    monkeypatch.setattr(CrystalGraphFeaturizer, "_state_version", version + 1)
    monkeypatch.setattr(
        CrystalGraphFeaturizer, "_state_upgrades", {version: add_parameter}
    )
    restored = CrystalGraphFeaturizer()
    restored.__setstate__(state)
    assert restored.max_neighbors == 7
    assert not restored.merge_equivalent
    assert "merge_equivalent" not in state
