"""Vectors of crystals as features for other estimators."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import SMALL
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalEmbedder
from sklearn_cgcnn.inspection import crystal_embeddings


@pytest.fixture(scope="module")
def fitted(ionic):
    return CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)


@pytest.fixture(scope="module")
def embedder(fitted):
    return CrystalEmbedder(FrozenEstimator(fitted))


def test_it_returns_the_vectors_of_the_frozen_model(fitted, embedder, ionic):
    vectors = clone(embedder).fit(ionic.data).transform(ionic.data)
    assert vectors.shape == (60, 8)
    np.testing.assert_array_equal(vectors, crystal_embeddings(fitted, ionic.data))


def test_without_a_model_it_trains_one(ionic, graphs):
    own = CrystalEmbedder(estimator=CGCNNRegressor(**SMALL))
    vectors = own.fit_transform(graphs, ionic.target)
    model = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    np.testing.assert_array_equal(vectors, crystal_embeddings(model, graphs))
    labels = CrystalEmbedder(estimator=CGCNNClassifier(**SMALL))
    assert labels.fit_transform(graphs, ionic.prototype).shape == (60, 8)
    assert not hasattr(own.estimator, "net_")


def test_it_stands_before_any_estimator(embedder, ionic, graphs):
    pipeline = make_pipeline(embedder, StandardScaler(), Ridge())
    scores = cross_val_score(pipeline, graphs, ionic.target, error_score="raise")
    assert np.isfinite(scores).all()
    search = GridSearchCV(pipeline, {"ridge__alpha": [0.1, 1.0]}, cv=2)
    assert np.isfinite(search.fit(ionic.data, ionic.target).best_score_)
    trained = make_pipeline(CrystalEmbedder(estimator=CGCNNRegressor(**SMALL)), Ridge())
    scores = cross_val_score(trained, graphs, ionic.target, cv=2, error_score="raise")
    assert np.isfinite(scores).all()


def test_data_frames_have_names(embedder, ionic):
    frame = clone(embedder).set_output(transform="pandas").fit_transform(ionic.data)
    assert list(frame.columns) == [f"crystalembedder{i}" for i in range(8)]
    assert (frame.dtypes == np.float64).all()


def test_it_stands_in_a_column_transformer(embedder, ionic):
    frame = pd.DataFrame({"structure": ionic.data, "x": np.arange(60.0)})
    columns = ColumnTransformer(
        [("embed", embedder, "structure"), ("scale", StandardScaler(), ["x"])]
    )
    features = columns.set_output(transform="pandas").fit_transform(frame)
    assert features.shape == (60, 9)
    assert features.columns[0] == "embed__crystalembedder0"
    model = make_pipeline(columns, Ridge()).fit(frame, ionic.target)
    assert model.predict(frame).shape == (60,)


def test_it_stands_beside_features_of_matminer(embedder, ionic):
    from matminer.featurizers.structure import DensityFeatures

    density = DensityFeatures()
    density.set_n_jobs(1)
    union = FeatureUnion([("density", density), ("embed", embedder)])
    assert union.fit_transform(ionic.data[:5]).shape == (5, 3 + 8)


def test_a_pickle_returns_the_same(embedder, ionic):
    fitted = clone(embedder).fit(ionic.data)
    twin = pickle.loads(pickle.dumps(fitted))
    expected = fitted.transform(ionic.data)
    np.testing.assert_array_equal(twin.transform(ionic.data), expected)


def test_wrong_use_is_named(fitted, embedder, ionic):
    with pytest.raises(NotFittedError):
        clone(embedder).transform(ionic.data)
    with pytest.raises(TypeError, match=r"pretrained=FrozenEstimator\(model\)"):
        CrystalEmbedder(fitted).fit(ionic.data)
    both = CrystalEmbedder(FrozenEstimator(fitted), estimator=CGCNNRegressor())
    with pytest.raises(ValueError, match="set pretrained=None or estimator=None"):
        both.fit(ionic.data)
    with pytest.raises(ValueError, match="requires y to be passed"):
        CrystalEmbedder().fit(ionic.data)
