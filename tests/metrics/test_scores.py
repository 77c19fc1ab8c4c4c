"""Scores are those of scikit-learn, computed from the values that are known."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_cgcnn import metrics

SCORES = ["mean_absolute_error", "root_mean_squared_error", "r2_score"]
NAN, INF = np.nan, np.inf


@pytest.fixture(params=SCORES)
def name(request):
    return request.param


@pytest.fixture
def score(name):
    return getattr(metrics, name)


@pytest.fixture
def values():
    """True values, predictions and weights of 30 crystals and 3 targets."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(30, 3)) * [1, 5, 20] + [0, 3, -7]
    return true, true + rng.normal(size=(30, 3)), rng.uniform(0, 2, 30)


@pytest.fixture
def gaps():
    """Which of these true values are missing. No crystal has all of them."""
    missing = np.random.default_rng(1).random((30, 3)) < 0.4
    assert missing.any(axis=0).all()
    assert missing.any(axis=1).sum() > 15
    return missing


def by_hand(name, true, predicted, weights):
    """The equation, for one target without gaps."""
    weights = np.ones(len(true)) if weights is None else weights
    if name == "mean_absolute_error":
        return (weights * abs(true - predicted)).sum() / weights.sum()
    squared = (weights * (true - predicted) ** 2).sum()
    if name == "root_mean_squared_error":
        return np.sqrt(squared / weights.sum())
    mean = (weights * true).sum() / weights.sum()
    return 1 - squared / (weights * (true - mean) ** 2).sum()


# Nothing is missing


@pytest.mark.parametrize("multioutput", ["uniform_average", "raw_values", [3, 1, 0.5]])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_without_gaps_are_those_of_scikit_learn(
    name, score, values, multioutput, weighted
):
    true, predicted, weights = values
    options = {
        "sample_weight": weights if weighted else None,
        "multioutput": multioutput,
    }
    actual = score(true, predicted, **options)
    expected = getattr(reference, name)(true, predicted, **options)
    np.testing.assert_allclose(actual, expected, rtol=1e-13)
    assert type(actual) is type(expected)
    default = score(true, predicted)
    assert default == pytest.approx(getattr(reference, name)(true, predicted))


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_of_one_target_are_those_of_scikit_learn(name, score, values, weighted):
    true, predicted, weights = values
    true, predicted = true[:, 1], predicted[:, 1]
    weights = weights if weighted else None
    expected = getattr(reference, name)(true, predicted, sample_weight=weights)
    for column in (true, true[:, None], true.tolist(), pd.Series(true)):
        actual = score(column, predicted, sample_weight=weights)
        assert actual == pytest.approx(expected, rel=1e-13)
        assert type(actual) is float


@pytest.mark.parametrize("weighted", [False, True])
def test_r2_weighted_by_variance_is_that_of_scikit_learn(values, weighted):
    true, predicted, weights = values
    options = {
        "sample_weight": weights if weighted else None,
        "multioutput": "variance_weighted",
    }
    actual = metrics.r2_score(true, predicted, **options)
    assert actual == pytest.approx(reference.r2_score(true, predicted, **options))
    assert actual != pytest.approx(metrics.r2_score(true, predicted))


@pytest.mark.parametrize("multioutput", ["raw_values", "variance_weighted"])
@pytest.mark.parametrize("force_finite", [False, True])
def test_r2_of_constant_targets_is_that_of_scikit_learn(multioutput, force_finite):
    true = np.full((4, 2), 3.0)
    predicted = np.array([[3, 3], [3, 3], [3, 3], [3, 4.0]])
    options = {"multioutput": multioutput, "force_finite": force_finite}
    with np.errstate(all="ignore"):  # scikit-learn divides by zero
        actual = metrics.r2_score(true, predicted, **options)
        expected = reference.r2_score(true, predicted, **options)
    np.testing.assert_array_equal(actual, expected)


# Missing true values


@pytest.mark.parametrize("weighted", [False, True])
def test_missing_values_are_left_out_of_their_target_alone(
    name, score, values, gaps, weighted
):
    true, predicted, weights = values
    expected = [
        by_hand(name, true[k, i], predicted[k, i], weights[k] if weighted else None)
        for i, k in enumerate(~gaps.T)
    ]
    weights = weights if weighted else None
    true = np.where(gaps, NAN, true)
    options = {"sample_weight": weights}
    raw = score(true, predicted, multioutput="raw_values", **options)
    np.testing.assert_allclose(raw, expected, rtol=1e-12)
    assert score(true, predicted, **options) == pytest.approx(np.mean(expected))
    shares = [1, 0, 4]
    weighted_mean = score(true, predicted, multioutput=shares, **options)
    assert weighted_mean == pytest.approx(np.average(expected, weights=shares))


def test_predictions_of_missing_values_do_not_matter(score, values, gaps):
    true, predicted, _ = values
    true = np.where(gaps, NAN, true)
    changed = np.where(gaps, 1e6, predicted)
    assert score(true, changed) == score(true, predicted)


def test_one_target_may_have_gaps(name, score, values, gaps):
    true, predicted, known = values[0][:, 0], values[1][:, 0], ~gaps[:, 0]
    expected = by_hand(name, true[known], predicted[known], None)
    actual = score(np.where(known, true, NAN), predicted)
    assert actual == pytest.approx(expected, rel=1e-12)


def test_the_variance_that_weights_r2_is_that_of_the_known_values(values, gaps):
    true, predicted, weights = values
    true = np.where(gaps, NAN, true)
    raw = metrics.r2_score(
        true, predicted, sample_weight=weights, multioutput="raw_values"
    )
    spreads = []
    for column in true.T:
        known, w = column[~np.isnan(column)], weights[~np.isnan(column)]
        spreads.append((w * (known - np.average(known, weights=w)) ** 2).sum())
    actual = metrics.r2_score(
        true, predicted, sample_weight=weights, multioutput="variance_weighted"
    )
    assert actual == pytest.approx(np.average(raw, weights=spreads))


def test_missing_values_of_pandas_are_missing(score, values, gaps):
    true, predicted, _ = values
    table = pd.DataFrame(np.where(gaps, NAN, true)).astype("Float64")
    assert table.isna().any().all()
    assert score(table, predicted) == score(np.where(gaps, NAN, true), predicted)


# Targets without known values


def test_a_target_without_known_values_cannot_be_averaged(score, values):
    true, predicted, _ = values
    true[:, 1] = NAN
    message = r"y_true\[:, 1\] has no known value .*leave this target out"
    for multioutput in ("uniform_average", [1, 1, 1]):
        with pytest.raises(ValueError, match=message):
            score(true, predicted, multioutput=multioutput)
    with pytest.raises(ValueError, match=r"^y_true has no known value"):
        score(true[:, 1], predicted[:, 1])


def test_a_target_without_known_values_has_an_undefined_score(score, values):
    true, predicted, _ = values
    expected = score(true, predicted, multioutput="raw_values")
    true[:, 1] = NAN
    with pytest.warns(UndefinedMetricWarning, match=r"y_true\[:, 1\] is NaN") as caught:
        actual = score(true, predicted, multioutput="raw_values")
    np.testing.assert_array_equal(actual, [expected[0], NAN, expected[2]])
    assert [warning.filename for warning in caught] == [__file__]


def test_a_target_known_with_weight_zero_alone_counts_as_unknown(score, values):
    true, predicted, weights = values
    true[5:, 2], weights[:5] = NAN, 0
    with pytest.raises(ValueError, match=r"y_true\[:, 2\] .*a positive sample_weight"):
        score(true, predicted, sample_weight=weights)


def test_r2_of_one_known_value_is_undefined(values):
    true, predicted, _ = values
    true[1:, 0] = NAN
    message = r"y_true\[:, 0\] is NaN, .*\(known: 1, needed: 2\)"
    with pytest.warns(UndefinedMetricWarning, match=message):
        raw = metrics.r2_score(true, predicted, multioutput="raw_values")
    assert np.isnan(raw).tolist() == [True, False, False]
    with pytest.warns(UndefinedMetricWarning, match=message):
        assert np.isnan(metrics.r2_score(true, predicted))
    assert np.isfinite(metrics.mean_absolute_error(true, predicted))


# Missing and infinite predictions


def test_crystals_without_prediction_are_left_out_with_one_warning(score, values, gaps):
    true, predicted, weights = values
    true = np.where(gaps, NAN, true)
    predicted[[3, 8]] = NAN
    kept = np.delete(np.arange(30), [3, 8])
    expected = score(true[kept], predicted[kept], sample_weight=weights[kept])
    with pytest.warns(UserWarning, match="2 of 30 crystals have no pred") as caught:
        assert score(true, predicted, sample_weight=weights) == expected
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="2 of 30 crystals have no prediction"):
        score(true[:, 0], predicted[:, 0])


def test_a_complete_prediction_gives_no_warning(score, values, gaps):
    true, predicted, _ = values
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score(np.where(gaps, NAN, true), predicted)
    assert not caught


def test_a_score_needs_a_prediction(score, values):
    true, predicted, _ = values
    with pytest.raises(ValueError, match="y_pred is NaN for every crystal"):
        score(true, np.full_like(predicted, NAN))


def test_known_values_without_prediction_do_not_count(score, values):
    true, predicted, _ = values
    true[5:, 1], predicted[:5] = NAN, NAN
    with (
        pytest.warns(UserWarning, match="5 of 30"),
        pytest.raises(ValueError, match=r"y_true\[:, 1\] has no known value with a pr"),
    ):
        score(true, predicted)


def test_a_partial_prediction_is_an_error(score, values):
    true, predicted, _ = values
    predicted[4, 1] = NAN
    with pytest.raises(ValueError, match=r"y_pred\[4, 1\] is NaN, but other .*row 4"):
        score(true, predicted)


@pytest.mark.parametrize("infinity", [INF, -INF])
def test_infinite_values_are_errors(score, values, infinity):
    true, predicted, _ = values
    predicted[7, 2], true[7, 2] = infinity, NAN
    message = r"y_pred\[7, 2\] is infinite.*leave this crystal out \(infinite: 1 of 90"
    with pytest.raises(ValueError, match=message):
        score(true, predicted)
    with pytest.raises(ValueError, match=r"y_pred\[7\] is infinite"):
        score(true[:, 0], predicted[:, 2])
    with pytest.raises(ValueError, match=r"y_true\[7, 2\] is infinite"):
        score(predicted, true)


# Other invalid arguments


def test_shapes_must_agree(score, values):
    true, predicted, _ = values
    with pytest.raises(ValueError, match=r"\(30, 3\) and y_pred has shape \(30, 2\)"):
        score(true, predicted[:, :2])
    with pytest.raises(ValueError, match=r"\(29, 3\) and y_pred has shape \(30, 3\)"):
        score(true[1:], predicted)
    with pytest.raises(ValueError, match=r"y_true has shape \(30, 3, 1\), but must"):
        score(true[:, :, None], predicted)


def test_weights_are_checked(score, values):
    true, predicted, weights = values
    with pytest.raises(ValueError, match=r"sample_weight has shape \(29,\)"):
        score(true, predicted, sample_weight=weights[1:])
    weights[3] = NAN
    with pytest.raises(ValueError, match=r"sample_weight\[3\] is nan"):
        score(true, predicted, sample_weight=weights)


@pytest.mark.parametrize(
    ("multioutput", "message"),
    [
        ([1, 2], "one finite number for each of the 3 targets"),
        ([1, 2, NAN], "one finite number for each of the 3 targets"),
        ([1, -1, 0], "the sum of weights must not be zero"),
        ("mean", "'multioutput' parameter of"),
    ],
)
def test_multioutput_is_checked(score, values, multioutput, message):
    true, predicted, _ = values
    with pytest.raises(ValueError, match=message):
        score(true, predicted, multioutput=multioutput)
