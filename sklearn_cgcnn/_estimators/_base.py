"""What the regressor and the classifier share: from crystals to a trained network."""

import copy
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._estimators._network_spec import (
    check_module,
    describe_part,
    is_same_part,
    known_elements,
    make_module,
)
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._sklearn_compat import Interval, StrOptions, fit_context
from sklearn_cgcnn._training._callbacks import DivergenceGuard, KeepBestEpoch, Progress
from sklearn_cgcnn._training._net import build_net, resolve_device
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn._training._recipe import (
    OPTIMIZERS,
    SCHEDULES,
    make_optimizer_params,
    make_schedule,
)
from sklearn_cgcnn._validation import (
    check_crystals,
    check_elements,
    check_sample_weight,
)
from sklearn_cgcnn.graphs import CrystalGraphs, element_table
from sklearn_cgcnn.nn import (
    ACTIVATIONS,
    CONVS,
    EDGE_BASES,
    NORMS,
    POOLINGS,
    READOUTS,
    EdgeBasis,
    SiteFeatures,
)
from sklearn_cgcnn.presets import preset


class BaseCGCNN(ABC, BaseEstimator):
    """Base of the estimators: parameters, training, prediction, persistence."""

    _fitted_params: dict
    _parameter_constraints: ClassVar[dict] = {
        "featurizer": [CrystalGraphFeaturizer, None],
        "conv": [StrOptions(set(CONVS)), type],
        "pooling": [StrOptions(set(POOLINGS)), type],
        "readout": [StrOptions(set(READOUTS)), type],
        "n_conv_layers": [Interval(Integral, 1, None, closed="left")],
        "n_site_channels": [Interval(Integral, 1, None, closed="left")],
        "n_hidden_layers": [Interval(Integral, 0, None, closed="left")],
        "n_hidden_channels": [Interval(Integral, 1, None, closed="left")],
        "site_features": [
            str,
            os.PathLike,
            Mapping,
            "array-like",
            SiteFeatures,
        ],
        "edge_basis": [StrOptions(set(EDGE_BASES)), EdgeBasis, None],
        "norm": [StrOptions(set(NORMS)), callable, None],
        "activation": [StrOptions(set(ACTIVATIONS)), callable],
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
        "compile": ["boolean"],
        "matmul_precision": [StrOptions({"float32", "tf32", "bfloat16"})],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def __init__(
        self,
        *,
        featurizer,
        conv,
        pooling,
        readout,
        n_conv_layers,
        n_site_channels,
        n_hidden_layers,
        n_hidden_channels,
        site_features,
        edge_basis,
        norm,
        activation,
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
        compile,
        matmul_precision,
        random_state,
        n_jobs,
        verbose,
    ):
        self.featurizer = featurizer
        self.conv = conv
        self.pooling = pooling
        self.readout = readout
        self.n_conv_layers = n_conv_layers
        self.n_site_channels = n_site_channels
        self.n_hidden_layers = n_hidden_layers
        self.n_hidden_channels = n_hidden_channels
        self.site_features = site_features
        self.edge_basis = edge_basis
        self.norm = norm
        self.activation = activation
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
        self.compile = compile
        self.matmul_precision = matmul_precision
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @classmethod
    def from_preset(cls, name, **params):
        """Make an estimator with the parameters of a model of the paper.

        The presets are ``"paper_eq4"`` and ``"paper_eq5"``, the models of these
        equations as they are printed, and ``"released"``, the authors' program with
        what its command line has by default. They include optimizer and recipe. The
        paper does not say what its search over parameters chose; the page "Models of
        the paper" in the documentation says of each value where it comes from, and
        which are our choice.

        Parameters
        ----------
        name : {"paper_eq4", "paper_eq5", "released"}
            The preset.
        **params
            Parameters of the estimator that differ from the preset's.

        Returns
        -------
        object
            The estimator, not fitted.

        Raises
        ------
        ValueError
            If there is no such preset.
        TypeError
            If the estimator has no such parameter.
        """
        chosen = preset(name, classification=issubclass(cls, ClassifierMixin))
        return cls(**{**chosen, **params})

    # What a regressor and a classifier do each in their own way

    @abstractmethod
    def _encode_target(self, y, weights):
        """Check y, remember how to decode predictions, and give the net's targets."""

    @abstractmethod
    def _encode_more_target(self, y, n_crystals):
        """Check that y is of the kind learned so far, and give the net's targets."""

    @abstractmethod
    def _decode(self, outputs):
        """Bring outputs of the network into the unit, and the shape, of the target."""

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

    @fit_context(prefer_skip_nested_validation=True)
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
            If y or `sample_weight` does not fit X or holds what cannot be learned, or
            `warm_start` meets another network than that of the last fit.
        ImportError
            If `compile` is set and there is no Numba to compile for a CPU.
        """
        fitted = getattr(self, "net_", None) if self.warm_start else None
        with self._unchanged_on_error():
            crystals = check_crystals(X)
            weights = check_sample_weight(sample_weight, len(crystals))
            targets = self._encode_target(y, weights)
            network = self._network_params()
            if fitted is None:
                make_module(network)  # parts that do not fit, before any work is done
            else:
                self._check_same_network(
                    network, "warm_start=True", "set warm_start=False"
                )
            resolve_device(self.device, self.compile)  # before any work is done
            self.featurizer_ = self._make_featurizer(crystals)
            graphs, targets, weights = self._select(crystals, targets, weights, network)
            rng = check_random_state(self.random_state)
            train, valid = self._split(graphs, targets, weights, rng)
            self._start(rng, network, fitted, valid, schedule=self.lr_schedule)
            check_module(self.net_.module_, network, graphs, self.matmul_precision)
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
                network = self._network_params()
                make_module(network)
                resolve_device(self.device, self.compile)
                self.featurizer_ = self._make_featurizer(crystals)
            else:
                targets = self._encode_more_target(y, len(crystals))
                network = self._network_params()
                self._check_same_network(network, "partial_fit", "call fit")
            graphs, targets, weights = self._select(crystals, targets, weights, network)
            if fitted is None or not self._goes_on():
                rng = check_random_state(self.random_state)
                self._start(rng, network, fitted, None, schedule="constant")
                check_module(self.net_.module_, network, graphs, self.matmul_precision)
            dataset = PackedDataset(graphs, targets, weights, self.net_.device)
            return self._train(dataset, 1)

    @contextmanager
    def _unchanged_on_error(self):
        """Keep a fitted model whole where bad input stops another fit half way.

        Once a first epoch is over, what was learned until then is kept instead.
        """
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            net, earlier = self.__dict__.get("net_"), before.get("net_")
            learned = net is not None and any(map(_is_whole, net.history))
            if net is earlier or not learned:
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

    def _select(self, crystals, targets, weights, network):
        """Make the graphs, and leave out the crystals of weight zero.

        They would not count in the loss, but in the statistics of the normalization.
        """
        graphs = self._make_graphs(crystals, network)
        weights = self._weigh_classes(targets, weights)
        rows = np.flatnonzero(weights)
        if len(rows) < len(graphs):
            graphs, targets, weights = graphs[rows], targets[rows], weights[rows]
        return graphs, targets, torch.tensor(weights / weights.mean()).float()

    def _make_graphs(self, crystals, network):
        """Make the graphs, all of whose elements the network must have features of."""
        graphs = self.featurizer_.transform(crystals)
        check_elements(graphs, known_elements(network["site_features"]))
        return graphs

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

    def _check_same_network(self, wanted, way, remedy):
        """Check that the network to go on with is the one the parameters describe."""
        network = self._fitted_params["network"]
        for name, value in wanted.items():
            if not is_same_part(value, network[name]):
                found, asked = map(describe_part, (network[name], value))
                raise ValueError(
                    f"{way} goes on with a network of {name}={found}, but {name}="
                    f"{asked} is asked for now; keep it, or {remedy} to begin anew"
                )

    def _start(self, rng, network, fitted, valid, schedule):
        """Make the net that trains: a new network, or the one of a fitted net."""
        seed = int(rng.randint(np.iinfo(np.int32).max))
        if fitted is None:
            self.loss_curve_, self.validation_scores_ = [], None
            module = make_module(network, seed)
        else:
            module, network = fitted.module_, self._fitted_params["network"]
        self._fitted_params = self._params_to_predict(network)
        # Those of the user first: what they do to weights, the others are to keep.
        callbacks = copy.deepcopy(self.callbacks or [])
        callbacks += [DivergenceGuard(), Progress(self.verbose)]
        callbacks += make_schedule(schedule)
        if valid is not None:
            callbacks.append(KeepBestEpoch(self.n_iter_no_change))
        # Only a net without a schedule, and without looks at held-out crystals, takes
        # further epochs as it is.
        goes_on = schedule == "constant" and valid is None
        params = copy.deepcopy(self._training_params()) if goes_on else None
        self._started_with = params
        self.net_ = build_net(
            module,
            criterion=self._make_criterion(),
            device=resolve_device(self.device, self.compile),
            batch_size=int(self.batch_size),
            callbacks=callbacks,
            valid=valid,
            seed=seed,
            trained_before=fitted is not None,
            compiled=self.compile,
            matmul_precision=self.matmul_precision,
            lr=self.lr,
            max_epochs=int(self.max_epochs),
            **make_optimizer_params(self.optimizer, self.weight_decay),
        )

    def _params_to_predict(self, network):
        """Give what a copy needs to predict, whatever becomes of the parameters."""
        return {
            "network": network,
            "batch_size": int(self.batch_size),
            "device": self.device,
            "compile": self.compile,
            "matmul_precision": self.matmul_precision,
        }

    def _training_params(self):
        """Give the parameters, beside those of the network, that a net is made with."""
        names = (
            "loss",
            "optimizer",
            "lr",
            "weight_decay",
            "batch_size",
            "callbacks",
            "device",
            "compile",
            "matmul_precision",
            "verbose",
        )
        return {name: getattr(self, name, None) for name in names}

    def _goes_on(self):
        """Say whether another epoch needs no new net: none was changed, nor copied."""
        started_with = self._started_with
        return started_with is not None and is_same_part(
            self._training_params(), started_with
        )

    def _train(self, dataset, epochs):
        before = len(self.net_.history)
        try:
            self.net_.train(dataset, epochs)
        finally:
            self.net_.train_split = None  # lets go of the held-out crystals
            # Also of a training that was interrupted, whose last epoch is not whole.
            epochs = [row for row in self.net_.history[before:] if _is_whole(row)]
            self.loss_curve_ += [float(row["train_loss"]) for row in epochs]
            self.n_iter_ = len(self.loss_curve_)
            if self.early_stopping:
                scores = [-float(row["valid_loss"]) for row in epochs]
                self.validation_scores_ = [*(self.validation_scores_ or []), *scores]
        return self

    def _network_params(self):
        """Give what the module is built from, apart from its weights."""
        site_features = self.site_features
        if not isinstance(site_features, SiteFeatures):
            site_features = element_table(site_features)
        return {
            "site_features": copy.deepcopy(site_features),
            "edge_basis": copy.deepcopy(self.edge_basis),
            "n_outputs": self._n_outputs(),
            "conv": self.conv,
            "pooling": self.pooling,
            "readout": self.readout,
            "n_conv_layers": self.n_conv_layers,
            "n_site_channels": self.n_site_channels,
            "n_hidden_layers": self.n_hidden_layers,
            "n_hidden_channels": self.n_hidden_channels,
            "norm": copy.deepcopy(self.norm),
            "activation": copy.deepcopy(self.activation),
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
        graphs = self._make_graphs(X, self._fitted_params["network"])
        dataset = PackedDataset(graphs, device=self.net_.device)
        return self.net_.predict_batches(dataset).numpy()

    def _predict_contributions(self, X):
        """Run the network as far as what the sites of the crystals contribute.

        Returns
        -------
        list of ndarray of shape (n_sites,) or (n_sites, n_outputs), float64
            One for each crystal, in the order of its sites.
        """
        check_is_fitted(self)
        graphs = self._make_graphs(X, self._fitted_params["network"])
        dataset = PackedDataset(graphs, device=self.net_.device)
        of_nodes = self.net_.predict_contributions(dataset).numpy()
        of_sites = graphs.expand_sites(self._decode(of_nodes))
        return np.split(of_sites, graphs.site_map_offsets[1:-1])

    # Persistence: the weights as numpy arrays, and no net. What is stored then holds
    # neither optimizer nor callbacks, and loads on a machine without the GPU that the
    # network was trained on.

    def __getstate__(self):
        state = super().__getstate__().copy()
        net = state.pop("net_", None)
        if net is not None:
            state["_started_with"] = None  # the optimizer stays behind
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
        first = next(name for name, _ in module.named_parameters())
        module.to(tensors[first].dtype).load_state_dict(tensors)
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
            compiled=fitted["compile"],
            matmul_precision=fitted["matmul_precision"],
        )

    def _with_weights(self, weights, n_epochs, **learned):
        """Make a fitted estimator of weights that were trained elsewhere.

        Parameters
        ----------
        weights : dict of str to Tensor
            By the names of the module; buffers may be left out.
        n_epochs : int
            How long they were trained, with losses that are not known.
        **learned
            What `fit` learns of the target.

        Returns
        -------
        object
        """
        fitted = clone(self)
        vars(fitted).update(learned)
        network = fitted._network_params()
        complete = {**make_module(network).state_dict(), **weights}
        state = fitted.__getstate__()
        state |= {
            "featurizer_": clone(self.featurizer),
            "n_iter_": n_epochs,
            "loss_curve_": [np.nan] * n_epochs,
            "validation_scores_": None,
            "_fitted_params": self._params_to_predict(network),
            "_started_with": None,
            "_weights": {name: each.numpy() for name, each in complete.items()},
        }
        fitted.__setstate__(state)
        return fitted

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags


def _is_whole(epoch):
    """Tell a row of a net's history that ended well from one that did not."""
    return "dur" in epoch and not epoch.get("diverged")
