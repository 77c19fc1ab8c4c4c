"""What a regressor does with its targets."""

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import cross_validate
from sklearn.multioutput import MultiOutputRegressor

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._training._packed import BatchTargets
from sklearn_cgcnn.datasets import make_ionic_crystals


def test_regressor_learns_lattice_energies():
    train = make_ionic_crystals(200, random_state=1)
    test = make_ionic_crystals(50, random_state=2)
    model = CGCNNRegressor(max_epochs=40, random_state=0).fit(train.data, train.target)
    dummy = DummyRegressor().fit(train.data, train.target)
    error = mean_absolute_error(test.target, model.predict(test.data))
    baseline = mean_absolute_error(test.target, dummy.predict(test.data))
    assert error < 0.25 * baseline
    assert model.score(test.data, test.target) > 0.9


def test_scale_and_shift_of_the_target_carry_over(ionic):
    plain = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    shifted = CGCNNRegressor(**SMALL).fit(ionic.data, 1e6 + 1e3 * ionic.target)
    np.testing.assert_allclose(
        shifted.predict(ionic.data), 1e6 + 1e3 * plain.predict(ionic.data), atol=0.1
    )


def test_a_constant_target_is_predicted(ionic):
    model = CGCNNRegressor(**SMALL).fit(ionic.data, np.full(60, -0.1))
    np.testing.assert_allclose(model.predict(ionic.data), -0.1, rtol=1e-12)


def test_weights_shift_what_is_learned(graphs):
    # Two opinions of the same crystals: the weighted median, which absolute errors
    # seek, is that of the heavier one.
    both = type(graphs).concatenate([graphs, graphs])
    y = np.r_[np.zeros(60), np.ones(60)]
    for heavier in (0.0, 1.0):
        weight = np.where(y == heavier, 9.0, 1.0)
        model = CGCNNRegressor(**SMALL).set_params(max_epochs=30)
        model.fit(both, y, sample_weight=weight)
        assert abs(np.median(model.predict(graphs)) - heavier) < 0.3


def test_mean_and_deviation_are_weighted(graphs, ionic):
    weight = np.random.default_rng(0).uniform(0, 1, 60)
    model = CGCNNRegressor(**SMALL).fit(graphs, ionic.target, sample_weight=weight)
    mean = np.average(ionic.target, weights=weight)
    assert model.target_mean_ == pytest.approx([mean])
    deviation = np.sqrt(np.average((ionic.target - mean) ** 2, weights=weight))
    assert model.target_scale_ == pytest.approx([deviation])


def test_several_targets_at_once(graphs, ionic):
    y = np.stack([ionic.target, 100 - 7 * ionic.target, np.full(60, 5.0)], axis=1)
    model = CGCNNRegressor(**SMALL).set_params(max_epochs=100).fit(graphs, y)
    predicted = model.predict(graphs)
    assert predicted.shape == (60, 3)
    np.testing.assert_allclose(predicted[:, 2], 5.0)
    assert model.score(graphs, y) > 0.5
    for column in (0, 1):
        assert np.corrcoef(predicted[:, column], y[:, column])[0, 1] > 0.8


@pytest.mark.parametrize("shape", [(60,), (60, 1), (60, 2)])
def test_predictions_have_the_dimensions_of_the_targets(graphs, ionic, shape):
    y = np.resize(ionic.target, shape)
    assert CGCNNRegressor(**SMALL).fit(graphs, y).predict(graphs).shape == shape


def test_several_targets_by_scikit_learn_one_by_one(graphs, ionic):
    y = np.stack([ionic.target, -ionic.target], axis=1)
    model = MultiOutputRegressor(CGCNNRegressor(**SMALL)).fit(graphs, y)
    assert model.predict(graphs).shape == (60, 2)


def test_a_missing_target_is_not_learned_from(graphs, ionic):
    y = np.stack([ionic.target, ionic.target], axis=1)
    y[::2, 0] = np.nan
    y[1::2, 1] = np.nan
    model = CGCNNRegressor(**SMALL).set_params(max_epochs=30).fit(graphs, y)
    assert np.isfinite(model.loss_curve_).all()
    np.testing.assert_allclose(model.target_mean_, np.nanmean(y, axis=0))
    np.testing.assert_allclose(model.target_scale_, np.nanstd(y, axis=0))
    # What stands beside a value that is missing changes nothing: no gradient flows.
    net = model.net_
    target = torch.tensor(y[:8], dtype=torch.float32)
    prediction = torch.randn(8, 2, requires_grad=True)
    targets = BatchTargets(target, torch.ones(8), torch.arange(8), None)
    net.get_loss(prediction, targets).backward()
    assert torch.equal(prediction.grad == 0, target.isnan())
    loss = net.get_loss(prediction, targets)
    known = ~target.isnan()
    expected = (prediction - target)[known].abs().mean()
    torch.testing.assert_close(loss, expected)


def test_what_does_not_vary_at_first_may_do_so_later(ionic):
    model = CGCNNRegressor(random_state=0)
    both = np.stack([ionic.target, ionic.target], axis=1)
    both[:2, 1] = np.nan
    both[2, 1] = 5.0
    model.partial_fit(ionic.data[:3], both[:3])
    for _ in range(10):
        model.partial_fit(ionic.data, both)
    assert (model.predict(ionic.data).std(axis=0) > 0.1 * ionic.target.std()).all()


def test_the_score_leaves_out_what_is_not_known(ionic):
    both = np.stack([ionic.target, -(ionic.target**2)], axis=1)
    model = CGCNNRegressor(max_epochs=20, random_state=0).fit(ionic.data, both)
    predicted = model.predict(ionic.data)
    expected = r2_score(both, predicted)
    assert model.score(ionic.data, both) == pytest.approx(expected, rel=1e-14)
    weights = np.linspace(1, 2, len(both))
    holes = both.copy()
    holes[::3, 0] = holes[1::4, 1] = np.nan
    expected = [
        r2_score(true[known], guess[known], sample_weight=weights[known])
        for true, guess in zip(holes.T, predicted.T, strict=True)
        for known in [~np.isnan(true)]
    ]
    assert model.score(ionic.data, holes, weights) == pytest.approx(np.mean(expected))
    model.set_params(max_epochs=1)
    scores = cross_validate(
        model, CrystalGraphFeaturizer().transform(ionic.data), holes
    )
    assert np.isfinite(scores["test_score"]).all()
    holes[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"y\[:, 1\] is NaN for every crystal"):
        model.score(ionic.data, holes)
