"""What a classifier does with its labels."""

import functools

import numpy as np
import pytest
import torch

from helpers import CONSTANT, SMALL, KeepHeldOut, assert_same_weights, weights_of
from sklearn_cgcnn import CGCNNClassifier
from sklearn_cgcnn.datasets import make_ionic_crystals


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
    model = CGCNNClassifier(**SMALL).set_params(
        callbacks=[KeepHeldOut()],
        early_stopping=True,
        validation_fraction=0.5,
        random_state=seed,
    )
    model.fit(ionic.data, y)
    valid = dict(model.net_.callbacks_)["KeepHeldOut"].dataset_
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


def test_balanced_weights_of_classes_that_are_absent(graphs, ionic):
    y = np.where(ionic.target < -8, "deep", "shallow")
    names, rows = ["deep", "none", "shallow"], np.arange(20)
    balanced = CGCNNClassifier(class_weight="balanced", **CONSTANT)
    balanced.partial_fit(graphs[rows], y[rows], classes=names)
    count = {label: (y[rows] == label).sum() for label in names}
    by_sample = CGCNNClassifier(**CONSTANT)
    weights = [1 / count[label] for label in y[rows]]
    by_sample.partial_fit(graphs[rows], y[rows], names, sample_weight=weights)
    for name, value in weights_of(balanced).items():
        torch.testing.assert_close(value, weights_of(by_sample)[name])
    # A class whose crystals all have weight zero.
    balanced.fit(graphs, ionic.prototype, sample_weight=ionic.prototype != "rocksalt")
    assert np.isfinite(balanced.predict_proba(graphs)).all()


def test_partial_fit_of_classes_announced_beforehand(graphs, ionic):
    names = sorted(set(ionic.prototype))
    first = ionic.prototype == names[0]
    model = CGCNNClassifier(**CONSTANT)
    model.partial_fit(graphs[first], ionic.prototype[first], classes=names)
    assert model.predict_proba(graphs).shape == (60, len(names))
    model.partial_fit(graphs, ionic.prototype, classes=names)
    with pytest.raises(ValueError, match="pass the same classes, or classes=None"):
        model.partial_fit(graphs, ionic.prototype, classes=names[1:])
    with pytest.raises(ValueError, match=r"^classes contains only one class, 'a'"):
        CGCNNClassifier(**CONSTANT).partial_fit(graphs, ionic.prototype, ["a"])
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


def focal(logits, codes):
    log_p = logits.log_softmax(dim=1).gather(1, codes[:, None])[:, 0]
    return -((1 - log_p.exp()) ** 2) * log_p


@pytest.mark.parametrize(
    "loss",
    [
        torch.nn.CrossEntropyLoss(label_smoothing=0.2),
        torch.nn.CrossEntropyLoss,
        focal,
        functools.partial(torch.nn.functional.cross_entropy, reduction="none"),
    ],
    ids=str,
)
def test_losses_of_ones_own(graphs, ionic, loss):
    model = CGCNNClassifier(loss=loss, **SMALL).fit(graphs, ionic.prototype)
    plain = CGCNNClassifier(**SMALL).fit(graphs, ionic.prototype)
    same = loss is torch.nn.CrossEntropyLoss or isinstance(loss, functools.partial)
    assert (model.loss_curve_ == plain.loss_curve_) == same
    assert np.isfinite(model.predict_proba(graphs)).all()


def test_label_smoothing_keeps_probabilities_from_the_extremes(graphs, ionic):
    y = ionic.prototype == ionic.prototype[0]
    params = {**SMALL, "max_epochs": 60}
    sharp = CGCNNClassifier(**params).fit(graphs, y)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.2)
    smooth = CGCNNClassifier(loss=loss, **params).fit(graphs, y)
    extreme = [m.predict_proba(graphs).max(axis=1).mean() for m in (sharp, smooth)]
    assert extreme[1] < min(extreme[0], 0.95)


def test_a_loss_must_give_one_value_per_crystal(graphs, ionic):
    model = CGCNNClassifier(loss=torch.nn.functional.cross_entropy, **SMALL)
    with pytest.raises(ValueError, match="must return one value per target"):
        model.fit(graphs, ionic.prototype)
