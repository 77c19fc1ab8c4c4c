import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._training import PackedDataset, build_net, fit_baseline


def fitted_baseline(graphs, targets, weights):
    params = CGCNNRegressor(baseline="linear").get_params()
    spec = NetworkSpec.from_params(params, n_outputs=targets.shape[1])
    net = build_net(
        spec.build(), criterion=torch.nn.L1Loss(), device="cpu", batch_size=7
    )
    dataset = PackedDataset(graphs, torch.tensor(targets), torch.tensor(weights))
    fit_baseline(net, dataset)
    batch, _ = dataset[torch.arange(len(graphs))]
    return net.module_.baseline(batch).numpy(), net.module_.baseline_descriptors(batch)


def test_the_baseline_is_a_ridge_regression(graphs, ionic):
    """Also of the known values of a second target, and with sample weights."""
    rng = np.random.RandomState(0)
    targets = np.column_stack([ionic.target, -(ionic.target**2)])
    targets[::3, 1] = np.nan
    weights = rng.uniform(0, 2, len(graphs))
    predicted, descriptors = fitted_baseline(graphs, targets, weights)
    for column in (0, 1):
        known = np.isfinite(targets[:, column])
        scaler = StandardScaler().fit(descriptors[known], sample_weight=weights[known])
        scaled = scaler.transform(descriptors)
        ridge = RidgeCV(np.logspace(1, 5, 20))
        ridge.fit(scaled[known], targets[known, column], sample_weight=weights[known])
        expected = ridge.predict(scaled)
        np.testing.assert_allclose(predicted[:, column], expected, atol=1e-4)
        assert np.ptp(expected) > 1


def test_a_target_of_two_crystals_has_no_baseline(graphs):
    targets = np.full((len(graphs), 1), np.nan)
    targets[:2, 0] = 1, 2
    predicted, _ = fitted_baseline(graphs, targets, np.ones(len(graphs)))
    assert not predicted.any()
