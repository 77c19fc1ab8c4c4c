"""What the regressor and the classifier share: from crystals to a trained network."""

import copy
import warnings
from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._batching import PackedDataset
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._net import (
    KeepBestEpoch,
    OneCycle,
    Progress,
    build_net,
    resolve_device,
)
from sklearn_cgcnn._validation import check_crystals
from sklearn_cgcnn.graphs import CrystalGraphs, one_hot_site_features
from sklearn_cgcnn.nn import CGCNN, EDGE_BASES, EdgeBasis, SiteFeatures

_OPTIMIZERS = {
    "adamw": (torch.optim.AdamW, {}),
    "adam": (torch.optim.Adam, {}),
    "sgd": (torch.optim.SGD, {"optimizer__momentum": 0.9}),
}


class BaseCGCNN(ABC, BaseEstimator):
    """Base of the estimators: parameters, training, prediction, persistence."""

    _parameter_constraints: ClassVar[dict] = {
        "featurizer": [CrystalGraphFeaturizer, None],
        "n_conv_layers": [Interval(Integral, 1, None, closed="left")],
        "n_site_channels": [Interval(Integral, 1, None, closed="left")],
        "n_hidden_layers": [Interval(Integral, 0, None, closed="left")],
        "n_hidden_channels": [Interval(Integral, 1, None, closed="left")],
        "edge_basis": [StrOptions(set(EDGE_BASES)), EdgeBasis],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "optimizer": [StrOptions(set(_OPTIMIZERS))],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"one_cycle", "constant"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def __init__(
        self,
        *,
        featurizer,
        n_conv_layers,
        n_site_channels,
        n_hidden_layers,
        n_hidden_channels,
        edge_basis,
        dropout,
        optimizer,
        lr,
        lr_schedule,
        weight_decay,
        max_epochs,
        batch_size,
        early_stopping,
        validation_fraction,
        n_iter_no_change,
        device,
        random_state,
        n_jobs,
        verbose,
    ):
        self.featurizer = featurizer
        self.n_conv_layers = n_conv_layers
        self.n_site_channels = n_site_channels
        self.n_hidden_layers = n_hidden_layers
        self.n_hidden_channels = n_hidden_channels
        self.edge_basis = edge_basis
        self.dropout = dropout
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # What a regressor and a classifier do each in their own way

    @abstractmethod
    def _encode_target(self, y, n_crystals):
        """Check y, remember how to decode predictions, and give the net's targets."""

    @abstractmethod
    def _criterion(self):
        """Give the class of the loss."""

    @abstractmethod
    def _n_outputs(self):
        """Give the number of outputs of the network."""

    def _stratify(self, targets):
        """Give the labels by which to stratify the validation split, if any."""
        return

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Train the network.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals: pymatgen structures, or graphs made by
            :class:`CrystalGraphFeaturizer`.
        y : array-like of shape (n_crystals,)
            What to predict of each.

        Returns
        -------
        object
            This estimator, fitted.

        Raises
        ------
        StructureError
            If a structure cannot become a graph.
        GraphSettingsError
            If X holds graphs made with other settings than those of `featurizer`.
        ValueError
            If y does not fit X or holds values that cannot be learnt.
        """
        device = resolve_device(self.device)
        crystals = check_crystals(X)
        targets = self._encode_target(y, len(crystals))
        self.featurizer_ = self._make_featurizer(crystals)
        graphs = self.featurizer_.transform(crystals)
        random_state = check_random_state(self.random_state)
        train, valid = self._split(graphs, targets, random_state, device)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        self._train(train, valid, seed, device)
        return self

    def _make_featurizer(self, crystals):
        """Choose the featurizer: the one given, or that of the graphs given."""
        if self.featurizer is not None:
            return clone(self.featurizer)
        settings = crystals.settings if isinstance(crystals, CrystalGraphs) else {}
        return CrystalGraphFeaturizer(
            **settings, n_jobs=self.n_jobs, verbose=self.verbose
        )

    def _split(self, graphs, targets, random_state, device):
        """Put the training part, and what is held out of it, on the device."""
        if not self.early_stopping:
            return PackedDataset(graphs, targets, device), None
        train, valid = train_test_split(
            np.arange(len(graphs)),
            test_size=self.validation_fraction,
            stratify=self._stratify(targets),
            random_state=random_state,
        )
        return tuple(
            PackedDataset(graphs[rows], targets[rows], device)
            for rows in (train, valid)
        )

    def _train(self, train, valid, seed, device):
        optimizer, optimizer_params = _OPTIMIZERS[self.optimizer]
        callbacks = [Progress(self.verbose)]
        if self.lr_schedule == "one_cycle":
            callbacks.append(OneCycle())
        if valid is not None:
            callbacks.append(KeepBestEpoch(self.n_iter_no_change))
        # Weights and dropout draw from torch's global generators: forked, so that the
        # caller's are left as they were.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            self._module_params = self._network_params()
            self.net_ = build_net(
                _build_module(self._module_params),
                criterion=self._criterion(),
                device=device,
                batch_size=self.batch_size,
                callbacks=callbacks,
                valid=valid,
                optimizer=optimizer,
                optimizer__weight_decay=self.weight_decay,
                lr=self.lr,
                max_epochs=self.max_epochs,
                iterator_train__generator=torch.Generator().manual_seed(seed),
                **optimizer_params,
            )
            self.net_.train(train)
        history = self.net_.history
        self.n_iter_ = len(history)
        self.loss_curve_ = [float(loss) for loss in history[:, "train_loss"]]
        self.validation_scores_ = (
            None
            if valid is None
            else [-float(loss) for loss in history[:, "valid_loss"]]
        )

    def _network_params(self):
        """Give what the module is built from, apart from its weights."""
        return {
            "edge_basis": copy.deepcopy(self.edge_basis),
            "n_outputs": self._n_outputs(),
            "n_conv_layers": self.n_conv_layers,
            "n_site_channels": self.n_site_channels,
            "n_hidden_layers": self.n_hidden_layers,
            "n_hidden_channels": self.n_hidden_channels,
            "dropout": self.dropout,
        }

    # Prediction

    def _predict_outputs(self, X):
        """Run the network on crystals.

        Returns
        -------
        ndarray of shape (n_crystals, n_outputs)
        """
        check_is_fitted(self)
        graphs = self.featurizer_.transform(X)
        dataset = PackedDataset(graphs, device=self.net_.device)
        return self.net_.predict_batches(dataset).numpy()

    # Persistence: the weights as numpy arrays, and no net. What is stored then holds
    # neither optimizer nor callbacks, and loads on a machine without the GPU that the
    # network was trained on.

    def __getstate__(self):
        state = super().__getstate__().copy()
        net = state.pop("net_", None)
        if net is not None:
            state["_weights"] = {
                name: value.cpu().numpy()
                for name, value in net.module_.state_dict().items()
            }
        return state

    def __setstate__(self, state):
        state = state.copy()
        weights = state.pop("_weights", None)
        super().__setstate__(state)
        if weights is not None:
            self.net_ = self._restore_net(weights)

    def _restore_net(self, weights):
        module = _build_module(self._module_params)
        tensors = {name: torch.tensor(value) for name, value in weights.items()}
        module.to(tensors["output.weight"].dtype).load_state_dict(tensors)
        try:
            device = resolve_device(self.device)
        except ValueError:
            warnings.warn(
                f"the model asks for device={str(self.device)!r}, which this machine "
                "does not have; it is loaded on the CPU",
                stacklevel=2,
            )
            device = torch.device("cpu")
        return build_net(
            module,
            criterion=self._criterion(),
            device=device,
            batch_size=self.batch_size,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags


def _build_module(params):
    params = copy.deepcopy(params)
    edge_basis = params.pop("edge_basis")
    if isinstance(edge_basis, str):
        edge_basis = EDGE_BASES[edge_basis]()
    table = torch.from_numpy(one_hot_site_features().copy())
    return CGCNN(SiteFeatures(table), edge_basis, **params)
