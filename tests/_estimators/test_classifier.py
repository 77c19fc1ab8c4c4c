"""What a classifier does with its labels."""

import numpy as np
import pytest
import torch

from helpers import HELD_OUT, SMALL, CatchHeldOut, assert_same_weights, weights_of
from sklearn_cgcnn import CGCNNClassifier
from sklearn_cgcnn.datasets import make_ionic_crystals

CONSTANT = {**SMALL, "lr_schedule": "constant", "dropout": 0.2}


def test_classifier_learns_prototypes():
    train = make_ionic_crystals(200, random_state=1)
    test = make_ionic_crystals(50, random_state=2)
    model = CGCNNClassifier(max_epochs=20, random_state=0)
    model.fit(train.data, train.prototype)
    assert model.classes_.tolist() == sorted(set(train.prototype))
    assert model.score(test.data, test.prototype) > 0.95
    probability = model.predict_proba(test.data)
    assert probability.shape == (50, len(model.classes_))
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
    predicted = model.classes_[probability.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(test.data), predicted)


@pytest.mark.parametrize("labels", [[False, True], [3, -1], ["no", "yes"], list("abc")])
def test_labels_come_back_as_they_went_in(ionic, labels):
    y = np.array([labels[i % len(labels)] for i in range(60)])
    model = CGCNNClassifier(**SMALL).fit(ionic.data, y)
    predicted = model.predict(ionic.data)
    assert predicted.dtype == y.dtype
    assert set(predicted) <= set(labels)


@pytest.mark.parametrize("seed", range(5))
def test_early_stopping_holds_out_every_class(ionic, seed):
    y = np.where(np.arange(60) < 58, "common", "rare")
    HELD_OUT.clear()
    model = CGCNNClassifier(**SMALL).set_params(
        callbacks=[CatchHeldOut()],
        early_stopping=True,
        validation_fraction=0.5,
        random_state=seed,
    )
    model.fit(ionic.data, y)
    (valid,) = HELD_OUT
    assert np.bincount(valid.targets).tolist() == [29, 1]


def test_class_weights_are_factors_of_sample_weights(graphs, ionic):
    y = np.where(ionic.target < -8, "deep", "shallow")
    given = {"deep": 3.0, "shallow": 0.5}
    by_class = CGCNNClassifier(class_weight=given, **SMALL).fit(graphs, y)
    by_sample = CGCNNClassifier(**SMALL)
    by_sample.fit(graphs, y, sample_weight=[given[label] for label in y])
    assert_same_weights(by_class, by_sample)
    balanced = CGCNNClassifier(class_weight="balanced", **SMALL).fit(graphs, y)
    count = {label: (y == label).sum() for label in given}
    by_sample.fit(graphs, y, sample_weight=[60 / (2 * count[label]) for label in y])
    for name, value in weights_of(balanced).items():
        torch.testing.assert_close(value, weights_of(by_sample)[name])


def test_partial_fit_of_classes_announced_beforehand(graphs, ionic):
    names = sorted(set(ionic.prototype))
    first = ionic.prototype == names[0]
    model = CGCNNClassifier(**CONSTANT)
    model.partial_fit(graphs[first], ionic.prototype[first], classes=names)
    assert model.predict_proba(graphs).shape == (60, len(names))
    model.partial_fit(graphs, ionic.prototype, classes=names)
    with pytest.raises(ValueError, match="pass the same classes, or classes=None"):
        model.partial_fit(graphs, ionic.prototype, classes=names[1:])
    strange = ionic.prototype.copy().astype(object)
    strange[7] = "quasicrystal"
    with pytest.raises(
        ValueError, match=r"y\[7\] is 'quasicrystal', which is not among"
    ):
        model.partial_fit(graphs, strange)


def test_warm_start_keeps_to_its_classes(graphs, ionic):
    y = np.where(ionic.target < -8, "deep", "shallow")
    model = CGCNNClassifier(warm_start=True, **SMALL).fit(graphs, y)
    with pytest.raises(ValueError, match=r"continues with the classes .*\['deep'"):
        model.fit(graphs, np.where(y == "deep", "low", "shallow"))
    assert model.classes_.tolist() == ["deep", "shallow"]
