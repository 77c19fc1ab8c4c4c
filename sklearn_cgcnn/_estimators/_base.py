"""What the regressor and the classifier share: from crystals to a trained network."""

import copy
import warnings
from abc import ABC, abstractmethod
from contextlib import contextmanager
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
from sklearn_cgcnn._callbacks import DivergenceGuard, KeepBestEpoch, Progress
from sklearn_cgcnn._estimators._recipe import (
    OPTIMIZERS,
    SCHEDULES,
    make_module,
    make_optimizer_params,
    make_schedule,
)
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._net import build_net, resolve_device
from sklearn_cgcnn._validation import check_crystals, check_sample_weight
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.nn import EDGE_BASES, EdgeBasis


class BaseCGCNN(ABC, BaseEstimator):
    """Base of the estimators: parameters, training, prediction, persistence."""

    _fitted_params: dict
    _parameter_constraints: ClassVar[dict] = {
        "featurizer": [CrystalGraphFeaturizer, None],
        "n_conv_layers": [Interval(Integral, 1, None, closed="left")],
        "n_site_channels": [Interval(Integral, 1, None, closed="left")],
        "n_hidden_layers": [Interval(Integral, 0, None, closed="left")],
        "n_hidden_channels": [Interval(Integral, 1, None, closed="left")],
        "edge_basis": [StrOptions(set(EDGE_BASES)), EdgeBasis],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions(SCHEDULES), callable],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "callbacks": [list, None],
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
        warm_start,
        callbacks,
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
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # What a regressor and a classifier do each in their own way

    @abstractmethod
    def _encode_target(self, y, weights):
        """Check y, remember how to decode predictions, and give the net's targets."""

    @abstractmethod
    def _encode_more_target(self, y, n_crystals):
        """Check that y is of the kind learnt so far, and give the net's targets."""

    @abstractmethod
    def _make_criterion(self):
        """Give the loss, one value for each target."""

    @abstractmethod
    def _n_outputs(self):
        """Give the number of outputs of the network."""

    def _stratify(self, targets):
        """Give the labels by which to stratify the validation split, if any."""
        return

    def _weigh_classes(self, targets, weights):
        """Give the weights of the crystals with those of their classes."""
        return weights

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals: pymatgen structures, or graphs made by
            :class:`CrystalGraphFeaturizer`.
        y : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
            What to predict of each. A regressor takes several targets as columns,
            where NaN stands for a value that is not known.
        sample_weight : array-like of shape (n_crystals,), default=None
            How much each crystal counts in the loss. Those of weight zero are left
            out. None gives all the same weight.

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
        TrainingDivergedError
            If weights of the network overflow; it is left with those of the epoch
            before.
        ValueError
            If y or `sample_weight` does not fit X or holds what cannot be learnt, or
            `warm_start` meets another network than that of the last fit.
        """
        fitted = getattr(self, "net_", None) if self.warm_start else None
        with self._unchanged_on_error():
            crystals = check_crystals(X)
            weights = check_sample_weight(sample_weight, len(crystals))
            targets = self._encode_target(y, weights)
            if fitted is not None:
                self._check_same_network()
            self.featurizer_ = self._make_featurizer(crystals)
            graphs, targets, weights = self._select(crystals, targets, weights)
            rng = check_random_state(self.random_state)
            train, valid = self._split(graphs, targets, weights, rng)
            self._start(rng, fitted, valid, schedule=self.lr_schedule)
        return self._train(train, int(self.max_epochs))

    def _partial_fit(self, X, y, sample_weight, encode_first):
        """Train for one more epoch at a constant learning rate."""
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True, as it holds nothing "
                "out; set it to False"
            )
        fitted = getattr(self, "net_", None)
        with self._unchanged_on_error():
            crystals = check_crystals(X)
            weights = check_sample_weight(sample_weight, len(crystals))
            if fitted is None:
                targets = encode_first(y, weights)
                self.featurizer_ = self._make_featurizer(crystals)
            else:
                targets = self._encode_more_target(y, len(crystals))
            graphs, targets, weights = self._select(crystals, targets, weights)
            if fitted is None or not self._can_go_on:
                rng = check_random_state(self.random_state)
                self._start(rng, fitted, None, schedule="constant")
            dataset = PackedDataset(graphs, targets, weights, self.net_.device)
        return self._train(dataset, 1)

    @contextmanager
    def _unchanged_on_error(self):
        """Keep a fitted model whole where bad input stops another fit half way."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise

    def _make_featurizer(self, crystals):
        """Choose the featurizer: the one given, or that of the graphs given."""
        if self.featurizer is not None:
            return clone(self.featurizer)
        settings = crystals.settings if isinstance(crystals, CrystalGraphs) else {}
        return CrystalGraphFeaturizer(
            **settings, n_jobs=self.n_jobs, verbose=self.verbose
        )

    def _select(self, crystals, targets, weights):
        """Make the graphs, and leave out the crystals of weight zero.

        They would not count in the loss, but in the statistics of the normalisation.
        """
        graphs = self.featurizer_.transform(crystals)
        weights = self._weigh_classes(targets, weights)
        rows = np.flatnonzero(weights)
        if len(rows) < len(graphs):
            graphs, targets, weights = graphs[rows], targets[rows], weights[rows]
        return graphs, targets, torch.tensor(weights / weights.mean()).float()

    def _split(self, graphs, targets, weights, rng):
        """Put the training part, and what is held out of it, on the device."""
        device = resolve_device(self.device)
        if not self.early_stopping:
            return PackedDataset(graphs, targets, weights, device), None
        try:
            parts = train_test_split(
                np.arange(len(graphs)),
                test_size=self.validation_fraction,
                stratify=self._stratify(targets),
                random_state=rng,
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True cannot hold out validation_fraction="
                f"{self.validation_fraction} of {len(graphs)} crystals ({error}); give "
                "more crystals, another fraction, or set it to False"
            ) from error
        return [
            PackedDataset(graphs[rows], targets[rows], weights[rows], device)
            for rows in parts
        ]

    def _check_same_network(self):
        """Check that the network to go on with is the one the parameters describe."""
        wanted, found = self._network_params(), self._fitted_params["network"]
        for name, value in wanted.items():
            # Two instances of an edge basis are taken for the same by their class.
            is_basis = isinstance(value, EdgeBasis)
            kinds = type(value), type(found[name])
            if (kinds[0] is not kinds[1]) if is_basis else value != found[name]:
                raise ValueError(
                    f"warm_start=True goes on with a network of {name}={found[name]}, "
                    f"but {name}={value} is asked for now; keep it, or set "
                    "warm_start=False to begin anew"
                )

    def _start(self, rng, fitted, valid, schedule):
        """Make the net that trains: a new network, or the one of a fitted net."""
        seed = int(rng.randint(np.iinfo(np.int32).max))
        if fitted is None:
            self.loss_curve_, self.validation_scores_ = [], None
            network = self._network_params()
            module = make_module(network, seed)
        else:
            network, module = self._fitted_params["network"], fitted.module_
        # What a copy needs to predict, whatever becomes of the parameters.
        self._fitted_params = {
            "network": network,
            "batch_size": int(self.batch_size),
            "device": self.device,
        }
        callbacks = [DivergenceGuard(), Progress(self.verbose)]
        callbacks += make_schedule(schedule)
        if valid is not None:
            callbacks.append(KeepBestEpoch(self.n_iter_no_change))
        # Only a net without a schedule, and without looks at held-out crystals, takes
        # further epochs as it is.
        self._can_go_on = schedule == "constant" and valid is None
        self.net_ = build_net(
            module,
            criterion=self._make_criterion(),
            device=resolve_device(self.device),
            batch_size=int(self.batch_size),
            callbacks=callbacks + copy.deepcopy(self.callbacks or []),
            valid=valid,
            seed=seed,
            lr=self.lr,
            max_epochs=int(self.max_epochs),
            **make_optimizer_params(self.optimizer, self.weight_decay),
        )

    def _train(self, dataset, epochs):
        before = len(self.net_.history)
        try:
            self.net_.train(dataset, epochs)
        finally:
            self.net_.train_split = None  # lets go of the held-out crystals
            # Also of a training that was interrupted, whose last epoch is not whole.
            epochs = [row for row in self.net_.history[before:] if "dur" in row]
            self.loss_curve_ += [float(row["train_loss"]) for row in epochs]
            self.n_iter_ = len(self.loss_curve_)
            if self.early_stopping:
                scores = [-float(row["valid_loss"]) for row in epochs]
                self.validation_scores_ = [*(self.validation_scores_ or []), *scores]
        return self

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
            state["_can_go_on"] = False  # without its optimizer
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
        fitted = self._fitted_params
        module = make_module(fitted["network"])
        tensors = {name: torch.tensor(value) for name, value in weights.items()}
        module.to(tensors["output.weight"].dtype).load_state_dict(tensors)
        try:
            device = resolve_device(fitted["device"])
        except ValueError:
            warnings.warn(
                f"the model was fitted with device={str(fitted['device'])!r}, which "
                "this machine does not have; it is loaded on the CPU",
                stacklevel=2,
            )
            device = torch.device("cpu")
        return build_net(
            module,
            criterion=torch.nn.Identity(),  # it predicts; training makes another net
            device=device,
            batch_size=fitted["batch_size"],
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags
