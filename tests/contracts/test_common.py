"""Promises that every public estimator keeps."""

import inspect
import re
import subprocess
import sys

import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks as checks

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer

ESTIMATORS = [CrystalGraphFeaturizer, CGCNNRegressor, CGCNNClassifier]
every_estimator = pytest.mark.parametrize("estimator_class", ESTIMATORS)

# Those of scikit-learn's checks that need no matrix for X.
CHECKS = [
    checks.check_estimator_cloneable,
    checks.check_estimator_tags_renamed,
    checks.check_valid_tag_types,
    checks.check_estimator_repr,
    checks.check_no_attributes_set_in_init,
    checks.check_mixin_order,
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_get_params_invariance,
    checks.check_set_params,
    checks.check_parameters_default_constructible,
]


@every_estimator
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_check_of_scikit_learn(estimator_class, check):
    check(estimator_class.__name__, estimator_class())


@pytest.mark.parametrize("estimator_class", [CGCNNRegressor, CGCNNClassifier])
def test_a_target_and_a_fit_are_required(estimator_class, ionic):
    with pytest.raises(ValueError, match="y is None"):
        estimator_class().fit(ionic.data, None)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        estimator_class().predict(ionic.data)


@every_estimator
def test_constraints_are_those_of_the_parameters(estimator_class):
    parameters = set(inspect.signature(estimator_class).parameters)
    assert set(estimator_class._parameter_constraints) == parameters


@every_estimator
def test_every_default_satisfies_its_constraint(estimator_class):
    estimator_class()._validate_params()


@every_estimator
def test_the_docstring_lists_the_parameters_in_order_with_their_defaults(
    estimator_class,
):
    documented = re.findall(
        r"^    (\w+) : .*?default=(.*)$", estimator_class.__doc__, re.M
    )
    signature = inspect.signature(estimator_class).parameters
    assert [name for name, _ in documented] == list(signature)
    for name, default in documented:
        assert eval(default) == signature[name].default, name


def documented(described, section):
    """The entries of a section of a docstring: header and text by name."""
    text = inspect.getdoc(described)
    text = re.search(rf"^{section}\n-+\n(.*?)\n\n", text, re.S | re.M)[1]
    parts = [entry.partition("\n") for entry in re.split(r"\n(?=\S)", text)]
    return {header.split(" :")[0]: (header, body) for header, _, body in parts}


@pytest.mark.parametrize("section", ["Parameters", "Attributes"])
def test_what_both_estimators_have_is_documented_alike(section):
    regressor, classifier = (
        documented(each, section) for each in (CGCNNRegressor, CGCNNClassifier)
    )
    shared = regressor.keys() & classifier.keys()
    assert len(shared) >= (28 if section == "Parameters" else 5)
    # Classifiers train for fewer epochs, with another loss, hold out crystals of each
    # class, and record their accuracy.
    other_default = {"n_iter_no_change", "loss"}
    other_text = {"max_epochs", "early_stopping", "loss", "history_"}
    for name in shared:
        (header, text), (other_header, other) = regressor[name], classifier[name]
        assert (header == other_header) == (name not in other_default), name
        assert (text == other) == (name not in other_text), name


METHODS = ["fit", "predict", "partial_fit", "load_weights", "from_preset", "score"]


@pytest.mark.parametrize("method", METHODS)
def test_methods_document_shared_arguments_alike(method):
    """X, sample_weight and the like mean the same in both."""
    regressor, classifier = (
        documented(getattr(each, method), "Parameters")
        for each in (CGCNNRegressor, CGCNNClassifier)
    )
    for name in regressor.keys() & classifier.keys() - {"y"}:
        if method != "score" or name not in ("X", "sample_weight"):  # scikit-learn's
            assert regressor[name] == classifier[name], name


@every_estimator
def test_tags_tell_the_truth(estimator_class):
    tags = estimator_class().__sklearn_tags__()
    assert not tags.input_tags.two_d_array
    is_transformer = estimator_class is CrystalGraphFeaturizer
    assert tags.requires_fit != is_transformer
    assert tags.target_tags.required != is_transformer


@every_estimator
def test_parameters_come_back_and_cloning_keeps_them(estimator_class):
    estimator = estimator_class(n_jobs=2, verbose=3)
    assert clone(estimator).get_params(deep=False) == estimator.get_params(deep=False)


def test_numba_is_loaded_where_loops_are_compiled():
    script = (
        "import sys\n"
        "from sklearn_cgcnn import CGCNNRegressor\n"
        "from sklearn_cgcnn.datasets import make_ionic_crystals\n"
        "X, y = make_ionic_crystals(4, random_state=0, return_X_y=True)\n"
        "for compiled in ('auto', False, True):\n"
        "    CGCNNRegressor(compile=compiled, max_epochs=1).fit(X, y).predict(X)\n"
        "    assert ('numba' in sys.modules) == (compiled is True)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("estimator_class", [CGCNNRegressor, CGCNNClassifier])
def test_parameters_of_a_featurizer_that_is_none_name_the_remedy(estimator_class):
    with pytest.raises(ValueError, match=r"pass featurizer=CrystalGraphFeaturizer\(\)"):
        estimator_class().set_params(featurizer__max_neighbors=8)
    model = estimator_class(featurizer=CrystalGraphFeaturizer())
    model.set_params(featurizer__max_neighbors=8)
    assert model.featurizer.max_neighbors == 8
    model = estimator_class().set_params(
        featurizer=CrystalGraphFeaturizer(), featurizer__max_neighbors=8
    )
    assert model.featurizer.max_neighbors == 8
