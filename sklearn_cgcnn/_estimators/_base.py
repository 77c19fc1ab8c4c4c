"""What the regressor and the classifier share: fit and prediction."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_cgcnn._estimators._equality import is_equal
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._estimators._parameters import EstimatorParameters
from sklearn_cgcnn._estimators._persistence import PersistentWeights, complete_weights
from sklearn_cgcnn._estimators._training_data import Targets, TrainingData
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._sklearn_compat import fit_context
from sklearn_cgcnn._training import (
    CrystalNet,
    DivergenceGuard,
    KeepBestEpoch,
    PackedDataset,
    Progress,
    TargetEncoding,
    build_net,
    is_complete,
    make_optimizer_params,
    make_schedule,
    prepare_callbacks,
    resolve_device,
)
from sklearn_cgcnn._validation import (
    check_crystals,
    check_elements,
    check_sample_weight,
)
from sklearn_cgcnn.graphs import CrystalGraphs

# Parameters that a net is made with, in addition to those of the network. If none of
# them has changed, partial_fit continues with the net and its optimizer.
_NET_PARAMS = (
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
# Prefixes of what is recorded of an epoch.
_PARTS = ("train", "valid")


class BaseCGCNN(PersistentWeights, EstimatorParameters, ABC):
    """Base class of the estimators: fit and prediction."""

    featurizer_: CrystalGraphFeaturizer
    n_iter_: int
    best_epoch_: int | None
    history_: dict[str, list[float]]
    loss_curve_: list[float]
    validation_scores_: list[float] | None

    # Implemented by the regressor and the classifier

    @abstractmethod
    def _encode_target(self, y: Any, weights: NDArray[np.float64]) -> Targets:
        """Check y, learn how to decode predictions, and return the targets."""

    @abstractmethod
    def _encode_more_target(self, y: Any, n_crystals: int) -> Targets:
        """Check y against the targets seen so far, and return the targets."""

    @abstractmethod
    def _encoding(self) -> TargetEncoding:
        """Return what the outputs of the network mean."""

    @abstractmethod
    def _decode(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Convert outputs of the network to the unit and shape of the target."""

    @abstractmethod
    def _make_criterion(self) -> nn.Module:
        """Return the loss, which gives one value per target."""

    @abstractmethod
    def _n_outputs(self) -> int:
        """Return the number of outputs of the network."""

    def _labels_to_stratify(self, targets: Targets) -> NDArray[Any] | None:
        """Return the labels by which the validation split is stratified, if any."""
        return None

    def _apply_class_weights(
        self, targets: Targets, weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the sample weights multiplied by class weights, if any."""
        return weights

    # Fit

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            Crystals, as pymatgen structures or as graphs from
            :class:`CrystalGraphFeaturizer`.
        y : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
            Targets. A regressor accepts several targets as columns, where NaN marks a
            missing value.
        sample_weight : array-like of shape (n_crystals,), default=None
            Sample weights in the loss. Crystals of weight zero are left out. None gives
            every crystal the same weight.
        X_val : sequence of Structure, or CrystalGraphs, default=None
            Crystals for validation. The loss on them is recorded after every epoch.
            With `early_stopping` they take the place of held-out crystals, so that the
            network is trained on all of X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Targets of `X_val`.
        sample_weight_val : array-like of shape (n_val,), default=None
            Sample weights of `X_val`.

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
            If a loss or a weight of the network is no longer finite. The network then
            has the weights from the beginning of the last epoch with a finite loss.
        ValueError
            If `y` or `sample_weight` does not match X or has invalid values, if only
            one of `X_val` and `y_val` is given, or if `warm_start` is set and the
            parameters describe another network than that of the last fit.
        ImportError
            If `compile` is set, the device is a CPU, and Numba is not installed.
        """
        previous = getattr(self, "net_", None) if self.warm_start else None
        with self._restored_on_error():
            crystals = check_crystals(X)
            weights = check_sample_weight(sample_weight, len(crystals))
            targets = self._encode_target(y, weights)
            validation = self._check_validation(X_val, y_val, sample_weight_val)
            spec = self._current_spec()
            if previous is None:
                spec.build()  # parts that do not fit together fail before any work
            else:
                spec.check_continues(
                    self._network_spec, "warm_start=True", "set warm_start=False"
                )
            resolve_device(self.device, self.compile)  # and so does a missing device
            self.featurizer_ = self._make_featurizer(crystals)
            data = self._training_data(crystals, targets, weights, spec)
            rng = check_random_state(self.random_state)
            train, valid = self._split(data, validation, spec, rng)
            self._make_net(rng, spec, previous, valid, schedule=self.lr_schedule)
            spec.check_own_parts(self.net_.module_, data.graphs, self.matmul_precision)
            return self._train(train, int(self.max_epochs))

    def _partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        encode_first: Callable[[Any, NDArray[np.float64]], Targets],
    ) -> Self:
        """Train for one more epoch at a constant learning rate."""
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True, because it holds "
                "out no crystals; set early_stopping=False"
            )
        previous = getattr(self, "net_", None)
        with self._restored_on_error():
            crystals = check_crystals(X)
            weights = check_sample_weight(sample_weight, len(crystals))
            if previous is None:
                targets = encode_first(y, weights)
                spec = self._current_spec()
                spec.build()
                resolve_device(self.device, self.compile)
                self.featurizer_ = self._make_featurizer(crystals)
            else:
                targets = self._encode_more_target(y, len(crystals))
                spec = self._current_spec()
                spec.check_continues(self._network_spec, "partial_fit", "call fit")
            data = self._training_data(crystals, targets, weights, spec)
            if previous is None or not self._can_reuse_net():
                rng = check_random_state(self.random_state)
                self._make_net(rng, spec, previous, None, schedule="constant")
                spec.check_own_parts(
                    self.net_.module_, data.graphs, self.matmul_precision
                )
            return self._train(data.pack(self.net_.device), 1)

    def _check_validation(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Any, Targets, NDArray[np.float64]] | None:
        """Check `X_val`, `y_val` and `sample_weight_val`, if they are given."""
        if X is None and y is None:
            if sample_weight is not None:
                raise ValueError(
                    "sample_weight_val is given without X_val and y_val; pass all three"
                )
            return None
        if X is None or y is None:
            given, missing = ("y_val", "X_val") if X is None else ("X_val", "y_val")
            raise ValueError(
                f"{given} is given without {missing}; pass both or neither"
            )
        crystals = check_crystals(X)
        weights = check_sample_weight(sample_weight, len(crystals))
        return crystals, self._encode_more_target(y, len(crystals)), weights

    @contextmanager
    def _restored_on_error(self) -> Iterator[None]:
        """Restore the fitted model if bad input stops another fit halfway.

        After the first whole epoch, the weights learned so far are kept instead.
        """
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            net, previous = self.__dict__.get("net_"), before.get("net_")
            learned = net is not None and any(map(is_complete, net.history))
            if net is previous or not learned:
                self.__dict__ = before
            raise

    def _make_featurizer(self, crystals: Any) -> CrystalGraphFeaturizer:
        """Return the featurizer of the parameters, or one for the graphs given."""
        if self.featurizer is not None:
            copied: CrystalGraphFeaturizer = clone(self.featurizer)
            return copied
        if isinstance(crystals, CrystalGraphs):
            return CrystalGraphFeaturizer.from_settings(
                crystals.settings, n_jobs=self.n_jobs, verbose=self.verbose
            )
        return CrystalGraphFeaturizer(n_jobs=self.n_jobs, verbose=self.verbose)

    def _make_graphs(self, crystals: Any, spec: NetworkSpec) -> CrystalGraphs:
        """Return the graphs, after checking that all elements have features."""
        graphs = self.featurizer_.transform(crystals)
        check_elements(graphs, spec.known_elements())
        return graphs

    def _training_data(
        self,
        crystals: Any,
        targets: Targets,
        weights: NDArray[np.float64],
        spec: NetworkSpec,
    ) -> TrainingData:
        """Return graphs, targets, and sample weights with a mean of one.

        The weights include class weights. Graphs are also made of crystals of weight
        zero, so that those that cannot become graphs are reported.
        """
        graphs = self._make_graphs(crystals, spec)
        weights = self._apply_class_weights(targets, weights)
        return TrainingData(graphs, targets, weights).with_mean_weight_one()

    def _split(
        self,
        data: TrainingData,
        validation: tuple[Any, Targets, NDArray[np.float64]] | None,
        spec: NetworkSpec,
        rng: np.random.RandomState,
    ) -> tuple[PackedDataset, PackedDataset | None]:
        """Return the crystals for training and those for validation, on the device."""
        device = resolve_device(self.device)
        if validation is not None:
            crystals, targets, weights = validation
            graphs = self._make_graphs(crystals, spec)
            valid = TrainingData(graphs, targets, weights).with_mean_weight_one()
            return data.pack(device), valid.pack(device)
        if not self.early_stopping:
            return data.pack(device), None
        labels = self._labels_to_stratify(data.targets)
        train, valid = data.hold_out(self.validation_fraction, rng, labels)
        return train.pack(device), valid.pack(device)

    def _make_net(
        self,
        rng: np.random.RandomState,
        spec: NetworkSpec,
        previous: CrystalNet | None,
        valid: PackedDataset | None,
        schedule: Any,
    ) -> None:
        """Make the net that trains a new network, or the one of the previous net."""
        seed = int(rng.randint(np.iinfo(np.int32).max))
        if previous is None:
            self._clear_history()
            module, self._network_spec = spec.build(seed), spec
        else:
            module = previous.module_
        self._prediction_params = self._current_prediction_params()
        callbacks = self._make_callbacks(schedule, has_validation=valid is not None)
        # Only a net without a schedule and without held-out crystals can be reused.
        reusable = schedule == "constant" and valid is None
        self._net_params = self._copied_net_params() if reusable else None
        self.net_ = build_net(
            module,
            criterion=self._make_criterion(),
            device=resolve_device(self.device, self.compile),
            batch_size=int(self.batch_size),
            callbacks=callbacks,
            encoding=self._encoding(),
            valid=valid,
            seed=seed,
            has_trained_weights=previous is not None,
            compiled=self.compile,
            matmul_precision=self.matmul_precision,
            lr=self.lr,
            max_epochs=int(self.max_epochs),
            **make_optimizer_params(self.optimizer, self.weight_decay),
        )

    def _make_callbacks(self, schedule: Any, has_validation: bool) -> list[Any]:
        """Return the callbacks of a training, in the order in which they are called."""
        callbacks: list[Any] = prepare_callbacks(
            self.callbacks or [], lr_schedule=schedule, has_validation=has_validation
        )
        if has_validation and self.early_stopping:
            # The first, so that weights loaded by a callback of the user stay. The
            # end of the cycle lowers the loss most: it is not cut off.
            is_cycle = schedule == "one_cycle"
            patience = None if is_cycle else int(self.n_iter_no_change)
            callbacks.insert(0, KeepBestEpoch(patience))
        # These come last, because they must see what the user's do to the weights.
        callbacks += [DivergenceGuard(), Progress(self.verbose)]
        return callbacks + make_schedule(schedule)

    def _current_spec(self) -> NetworkSpec:
        return NetworkSpec.from_params(vars(self), self._n_outputs())

    def _current_prediction_params(self) -> dict[str, Any]:
        """Return what a copy needs to predict, even if parameters change later."""
        return {
            "batch_size": int(self.batch_size),
            "device": self.device,
            "compile": self.compile,
            "matmul_precision": self.matmul_precision,
        }

    def _current_net_params(self) -> dict[str, Any]:
        return {name: getattr(self, name, None) for name in _NET_PARAMS}

    def _copied_net_params(self) -> dict[str, Any]:
        params = self._current_net_params()
        callbacks = params.pop("callbacks")
        # A writer or a connection that a callback holds cannot be copied.
        return {**copy.deepcopy(params), "callbacks": copy.copy(callbacks)}

    def _can_reuse_net(self) -> bool:
        """Return whether the net can train another epoch: no parameter changed."""
        params = self._net_params
        return params is not None and is_equal(self._current_net_params(), params)

    def _train(self, dataset: PackedDataset, epochs: int) -> Self:
        try:
            self.net_.train(dataset, epochs)
        finally:
            self.net_.train_split = None  # frees the held-out crystals
            self._add_to_history(self.net_)
        return self

    def _clear_history(self, n_epochs: int = 0) -> None:
        """Forget all epochs, but keep room for those of weights from elsewhere."""
        self.n_iter_, self.best_epoch_ = n_epochs, None
        self.loss_curve_, self.validation_scores_ = [np.nan] * n_epochs, None
        self.history_ = {"train_loss": self.loss_curve_}

    def _add_to_history(self, net: CrystalNet) -> None:
        """Add the epochs of the last training. A copy may share the lists."""
        rows = list(filter(is_complete, net.trained_epochs_))
        n_before = self.n_iter_
        score = self._encoding().score_name
        names = [f"{part}_{what}" for part in _PARTS for what in ("loss", score)]
        history = {}
        for name in names:
            before = self.history_.get(name, [np.nan] * n_before)
            values = [float(row.get(name, np.nan)) for row in rows]
            if name in self.history_ or not all(map(np.isnan, values)):
                history[name] = [*before, *values]
        self.history_, self.n_iter_ = history, n_before + len(rows)
        self.loss_curve_ = history["train_loss"]
        losses = [-float(row["valid_loss"]) for row in rows if "valid_loss" in row]
        if losses:
            self.validation_scores_ = [*(self.validation_scores_ or []), *losses]
        for _, callback in net.callbacks_:
            if isinstance(callback, KeepBestEpoch) and rows:
                self.best_epoch_ = n_before + callback.best_epoch_

    def _load_weights(self, weights: Mapping[str, Any], n_epochs: int) -> None:
        """Become fitted with weights from elsewhere; the target is already learned."""
        self._validate_params()
        spec = self._current_spec()
        complete = complete_weights(spec, weights)
        self._network_spec, self._net_params = spec, None
        self._prediction_params = self._current_prediction_params()
        self.featurizer_ = self._make_featurizer(None)
        self._clear_history(n_epochs)
        self.net_ = self._restore_net(complete)

    # Prediction

    def _predict_outputs(self, X: Any) -> NDArray[np.float32]:
        """Return the outputs of the network, of shape (n_crystals, n_outputs)."""
        check_is_fitted(self)
        graphs = self._make_graphs(X, self._network_spec)
        dataset = PackedDataset(graphs, device=self.net_.device)
        outputs: NDArray[np.float32] = self.net_.predict_batches(dataset).numpy()
        return outputs

    def _predict_contributions(self, X: Any) -> list[NDArray[np.float64]]:
        """Return the contributions of the sites of each crystal, in their order.

        Each array has shape (n_sites,) or (n_sites, n_outputs).
        """
        check_is_fitted(self)
        graphs = self._make_graphs(X, self._network_spec)
        dataset = PackedDataset(graphs, device=self.net_.device)
        merged = self._decode(self.net_.predict_contributions(dataset).numpy())
        return np.split(graphs.expand_sites(merged), graphs.site_map_offsets[1:-1])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags
