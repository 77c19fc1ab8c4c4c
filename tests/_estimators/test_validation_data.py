"""Validation data of one's own, and early stopping."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from helpers import EQ_5, SMALL, assert_same_weights, outputs
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer


def test_validation_data_are_watched_and_change_nothing(
    estimator_class, target, graphs
):
    plain = estimator_class(**SMALL).fit(graphs[:40], target[:40])
    watched = estimator_class(**SMALL)
    watched.fit(graphs[:40], target[:40], X_val=graphs[40:], y_val=target[40:])
    assert_same_weights(plain, watched)
    assert plain.validation_scores_ is None
    assert len(watched.validation_scores_) == 3
    assert watched.history_["valid_loss"] == [-x for x in watched.validation_scores_]
    assert watched.best_epoch_ is None
    net = watched.net_
    name = f"valid_{net.encoding.score_name}"
    score = watched.history_[name][-1]
    if estimator_class is CGCNNRegressor:
        expected = np.abs(watched.predict(graphs[40:]) - target[40:]).mean()
    else:
        expected = watched.score(graphs[40:], target[40:])
    assert score == pytest.approx(expected, rel=1e-5)


def test_early_stopping_uses_them_and_trains_on_all_of_x(
    estimator_class, graphs, target
):
    model = estimator_class(early_stopping=True, optimizer="adamw", **SMALL, **EQ_5)
    model.fit(graphs[:40], target[:40], X_val=graphs[40:], y_val=target[40:])
    sizes = model.net_.history[-1, "batches", :, "train_batch_size"]
    assert sum(sizes) == 40
    assert model.best_epoch_ == 1 + int(np.argmin(model.history_["valid_loss"]))


@pytest.mark.parametrize("schedule", ["one_cycle", "constant"])
def test_the_cycle_is_not_cut_short(graphs, ionic, schedule):
    model = CGCNNRegressor(
        early_stopping=True, n_iter_no_change=1, lr_schedule=schedule, lr=0.1, **SMALL
    )
    model.set_params(max_epochs=40, optimizer="adamw", baseline=None, **EQ_5)
    model.fit(graphs, ionic.target)
    best = 1 + int(np.argmin(model.history_["valid_loss"]))
    assert model.best_epoch_ == best
    assert model.n_iter_ == (40 if schedule == "one_cycle" else best + 1)


def test_structures_may_be_validated_on_in_a_pipeline(ionic):
    pipeline = make_pipeline(CrystalGraphFeaturizer(max_neighbors=8), CGCNNRegressor())
    pipeline.set_params(cgcnnregressor__max_epochs=1)
    pipeline.fit(
        ionic.data[:40],
        ionic.target[:40],
        cgcnnregressor__X_val=ionic.data[40:],
        cgcnnregressor__y_val=ionic.target[40:],
    )
    assert len(pipeline[-1].validation_scores_) == 1


def test_weights_of_validation_count(graphs, ionic):
    weights = np.zeros(20)
    weights[:5] = 2.0
    y = ionic.target
    left_out, weighted = (CGCNNRegressor(**SMALL) for _ in range(2))
    left_out.fit(graphs, y, X_val=graphs[:5], y_val=y[:5])
    weighted.fit(graphs, y, X_val=graphs[:20], y_val=y[:20], sample_weight_val=weights)
    np.testing.assert_allclose(
        left_out.validation_scores_, weighted.validation_scores_, rtol=1e-6
    )


def test_several_targets_with_gaps_are_validated(graphs, ionic):
    y = np.stack([ionic.target, 10 + ionic.target], axis=1)
    y[::2, 1] = np.nan
    model = CGCNNRegressor(**SMALL).fit(graphs, y, X_val=graphs, y_val=y)
    error = np.abs(model.predict(graphs) - y)
    assert model.history_["valid_mae"][-1] == pytest.approx(np.nanmean(error), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_val": True}, "X_val is given without y_val"),
        ({"y_val": True}, "y_val is given without X_val"),
        ({"sample_weight_val": True}, "sample_weight_val is given without"),
        (
            {"X_val": True, "y_val": [1.0]},
            "y_val has 1 values for 10 crystals in X_val",
        ),
        ({"X_val": [], "y_val": []}, "X_val contains no crystals"),
        ({"X_val": ["x"], "y_val": [1.0]}, r"X_val\[0\] is of type str"),
        ({"X_val": True, "y_val": [np.inf] * 10}, r"y_val\[0\] is inf"),
        (
            {"X_val": True, "y_val": True, "sample_weight_val": [1, 2]},
            "sample_weight_val has shape",
        ),
    ],
)
def test_invalid_validation_data_are_named(graphs, ionic, arguments, message):
    values = {
        "X_val": graphs[:10],
        "y_val": ionic.target[:10],
        "sample_weight_val": np.ones(10),
    }
    passed = {k: values[k] if v is True else v for k, v in arguments.items()}
    model = CGCNNRegressor(**SMALL)
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(graphs, ionic.target, **passed)
    assert not hasattr(model, "net_")


def test_labels_that_were_not_trained_are_named(graphs, ionic):
    model = CGCNNClassifier(**SMALL)
    y = ionic.prototype.astype("U20")
    others = y.copy()
    others[3] = "unheard-of"
    with pytest.raises(ValueError, match=r"y_val\[3\] is 'unheard-of'.*not among"):
        model.fit(graphs, y, X_val=graphs, y_val=others)


def test_a_second_fit_forgets_the_validation(graphs, ionic):
    model = CGCNNRegressor(early_stopping=True, **SMALL).fit(graphs, ionic.target)
    assert model.best_epoch_ is not None
    model.set_params(early_stopping=False).fit(graphs, ionic.target)
    assert model.best_epoch_ is model.validation_scores_ is None
    assert set(model.history_) == {"train_loss", "train_mae"}


def test_histories_of_continued_trainings_are_aligned(graphs, ionic):
    model = CGCNNRegressor(warm_start=True, **SMALL).fit(graphs, ionic.target)
    model.set_params(early_stopping=True).fit(graphs, ionic.target)
    assert {len(values) for values in model.history_.values()} == {6}
    assert np.isnan(model.history_["valid_loss"]).tolist() == [True] * 3 + [False] * 3
    assert 3 < model.best_epoch_ <= 6
    assert len(model.validation_scores_) == 3
    assert np.isfinite(outputs(model, graphs)).all()
