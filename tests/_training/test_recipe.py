"""Optimizers, schedules and losses, by name or as classes of torch."""

import functools
import pickle

import numpy as np
import pytest
import torch

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._training import (
    CLASSIFICATION_EPOCHS,
    REGRESSION_EPOCHS,
    EpochRule,
)


@pytest.mark.parametrize(
    ("optimizer", "lr"), [("adamw", 0.01), ("adam", 0.01), ("muon", 0.03), ("sgd", 0.3)]
)
@pytest.mark.parametrize("lr_schedule", ["one_cycle", "constant"])
def test_every_optimizer_lowers_the_loss(ionic, optimizer, lr, lr_schedule):
    # A linear baseline has lowered most of the loss before.
    model = CGCNNRegressor(**SMALL, baseline=None).set_params(
        optimizer=optimizer, lr=lr, lr_schedule=lr_schedule, max_epochs=15
    )
    curve = model.fit(ionic.data, ionic.target).loss_curve_
    assert curve[-1] < 0.7 * curve[0]


@pytest.mark.parametrize("loss", ["absolute_error", "squared_error", "huber"])
def test_every_loss_is_what_its_name_says(ionic, loss):
    model = CGCNNRegressor(loss=loss, **SMALL).fit(ionic.data, ionic.target)
    difference = torch.tensor([[0.5], [-3.0]])
    expected = {
        "absolute_error": 1.75,
        "squared_error": (0.25 + 9) / 2,
        "huber": (0.125 + 2.5) / 2,
    }
    value = model.net_.criterion_(difference, torch.zeros(2, 1)).mean().item()
    assert value == pytest.approx(expected[loss])


@pytest.mark.parametrize(
    ("optimizer", "lr"),
    [
        (torch.optim.RMSprop, 3e-3),
        (torch.optim.Rprop, 3e-3),  # has no weight decay
        (functools.partial(torch.optim.SGD, momentum=0.8, nesterov=True), 0.1),
    ],
)
def test_any_optimizer_of_torch(graphs, ionic, optimizer, lr):
    model = CGCNNRegressor(optimizer=optimizer, baseline=None, **SMALL).set_params(
        max_epochs=15, lr=lr, lr_schedule="constant", weight_decay=0.02
    )
    model.fit(graphs, ionic.target)
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0]
    group = model.net_.optimizer_.param_groups[0]
    assert group.get("weight_decay", 0.02) == 0.02
    keywords = getattr(optimizer, "keywords", {})
    assert group.items() >= keywords.items()


def test_any_scheduler_of_torch(graphs, ionic):
    from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

    schedule = functools.partial(ExponentialLR, gamma=0.5)
    model = CGCNNRegressor(**SMALL).set_params(lr_schedule=schedule, lr=0.08)
    model.fit(graphs, ionic.target)
    assert model.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(0.01)
    plateau = functools.partial(ReduceLROnPlateau, patience=0, threshold=1.0)
    for early_stopping in (True, False):
        model.set_params(lr_schedule=plateau, lr=0.08, early_stopping=early_stopping)
        model.fit(graphs, ionic.target)
        assert model.net_.optimizer_.param_groups[0]["lr"] < 0.08


def pinball(predictions, targets):
    """The loss whose minimum is the quantile at 0.9."""
    difference = targets - predictions
    return torch.maximum(0.9 * difference, -0.1 * difference)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (pinball, [0.45, 0.3]),
        (torch.nn.SmoothL1Loss, [0.125, 2.5]),
        (torch.nn.SmoothL1Loss(beta=0.1), [0.45, 2.95]),
    ],
    ids=["function", "class", "instance"],
)
def test_any_loss(graphs, ionic, loss, expected):
    model = CGCNNRegressor(loss=loss, **SMALL).fit(graphs, ionic.target)
    values = model.net_.criterion_(
        torch.tensor([[0.0], [3.0]]), torch.tensor([[0.5], [0.0]])
    )
    torch.testing.assert_close(values, torch.tensor(expected)[:, None])
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(graphs), model.predict(graphs))


def test_a_quantile(graphs):
    model = CGCNNRegressor(loss=pinball, **SMALL).set_params(max_epochs=80)
    noisy = np.random.default_rng(0).normal(size=60)
    above = noisy > model.fit(graphs, noisy).predict(graphs)
    assert above.mean() < 0.25


def test_a_loss_of_one_number_is_refused(graphs, ionic):
    model = CGCNNRegressor(loss=torch.nn.functional.l1_loss, **SMALL)
    with pytest.raises(
        ValueError, match=r"loss returned values of shape \(\).*reduction"
    ):
        model.fit(graphs, ionic.target)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [("muon", 0.1), ("adamw", 0.01), ("sgd", 0.01), (torch.optim.Adam, 0.01)],
)
def test_automatic_weight_decay(graphs, ionic, optimizer, expected):
    model = CGCNNRegressor(**SMALL).set_params(optimizer=optimizer, max_epochs=1)
    model.fit(graphs, ionic.target)
    assert model.net_.optimizer_.defaults["weight_decay"] == expected


def test_a_partial_keeps_the_weight_decay_that_it_sets(graphs, ionic):
    own = functools.partial(torch.optim.SGD, weight_decay=0.5)
    for optimizer, expected in [(own, 0.5), (torch.optim.SGD, 0.25)]:
        model = CGCNNRegressor(**SMALL).set_params(lr=1e-3, weight_decay=0.25)
        model.set_params(optimizer=optimizer).fit(graphs, ionic.target)
        assert model.net_.optimizer_.defaults["weight_decay"] == expected


@pytest.mark.parametrize(
    ("rule", "n_crystals", "batch_size", "n_epochs"),
    [
        *[(REGRESSION_EPOCHS, n, 64, 100) for n in (1, 504, 12_800, 10**6)],
        *[(REGRESSION_EPOCHS, n, 64, 200) for n in (1_000, 6_400)],
        (REGRESSION_EPOCHS, 600, 64, 120),
        (REGRESSION_EPOCHS, 8_000, 64, 160),
        (REGRESSION_EPOCHS, 8_000, 32, 100),
        (REGRESSION_EPOCHS, 8_000, 128, 200),
        *[(CLASSIFICATION_EPOCHS, n, 64, 30) for n in (1, 4_224)],
        (CLASSIFICATION_EPOCHS, 8_000, 64, 16),
        *[(CLASSIFICATION_EPOCHS, n, 64, 8) for n in (16_000, 10**6)],
    ],
)
def test_automatic_epochs(rule, n_crystals, batch_size, n_epochs):
    assert rule.n_epochs(n_crystals, batch_size) == n_epochs


def test_epochs_are_chosen_by_the_number_of_crystals(
    graphs, estimator_class, target, monkeypatch
):
    rule = EpochRule(12, fewest=2, most=9, per_crystal=0.3)
    monkeypatch.setattr(estimator_class, "_epoch_rule", rule)
    params = {**SMALL, "max_epochs": "auto", "batch_size": 10}
    for n_crystals, n_epochs in ((60, 2), (40, 3), (20, 6)):
        model = estimator_class(**params).fit(graphs[:n_crystals], target[:n_crystals])
        assert model.n_iter_ == len(model.loss_curve_) == n_epochs
