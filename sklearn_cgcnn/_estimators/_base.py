"""What the regressor and the classifier share: fit."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_cgcnn._estimators._evaluation import NetEvaluation
from sklearn_cgcnn._estimators._limits import elements_of, warn_of_failed
from sklearn_cgcnn._estimators._loaded_weights import complete_weights
from sklearn_cgcnn._estimators._net_training import NetTraining
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._estimators._pretrained import pretrained_model
from sklearn_cgcnn._estimators._training_data import Targets, TrainingData
from sklearn_cgcnn._sklearn_compat import fit_context
from sklearn_cgcnn._training import (
    CrystalDataset,
    CrystalNet,
    auto_baseline,
    fit_baseline,
    is_complete,
    resolve_device,
)
from sklearn_cgcnn._validation import check_crystals, check_sample_weight, named_as_in
from sklearn_cgcnn.graphs import AnyGraphs


class BaseCGCNN(NetTraining, NetEvaluation, ABC):
    """Base class of the estimators: fit."""

    # Implemented by the regressor and the classifier

    @abstractmethod
    def _encode_target(self, y: Any, weights: NDArray[np.float64]) -> Targets:
        """Check y, learn how to decode predictions, and return the targets."""

    @abstractmethod
    def _encode_more_target(self, y: Any, n_crystals: int, name: str = "y") -> Targets:
        """Check y against the targets seen so far, and return the targets."""

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
            If `compile` is True, the device is a CPU, and Numba cannot be imported.
        """
        previous = getattr(self, "net_", None) if self.warm_start else None
        self._check_checkpoint()
        with self._restored_on_error():
            crystals = check_crystals(X, on_error=self._on_error(), on_disk=True)
            weights = check_sample_weight(sample_weight, len(crystals))
            targets = self._encode_target(y, weights)
            validation = self._check_validation(X_val, y_val, sample_weight_val)
            spec = self._checked_spec(
                previous, "warm_start=True", "set warm_start=False"
            )
            self.featurizer_ = self._make_featurizer(crystals)
            encode = self._encode_target
            data = self._training_data(crystals, targets, weights, spec, encode)
            if previous is None:
                # Only now is it known how many crystals there are to learn from.
                spec = self._current_spec(auto_baseline(len(data.graphs)))
            rng = check_random_state(self.random_state)
            train, valid = self._split(data, validation, spec, rng)
            n_epochs = self._n_epochs(len(train))
            self._make_net(
                rng, spec, previous, valid, schedule=self.lr_schedule, n_epochs=n_epochs
            )
            spec.check_own_parts(self.net_.module_, data.graphs, self.matmul_precision)
            fit_baseline(self.net_, train)
            self._learn_elements(data.graphs, previous)
            self._set_checkpoint(train, valid)
            return self._train(train, n_epochs)

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
            crystals = check_crystals(X, on_error=self._on_error(), on_disk=True)
            weights = check_sample_weight(sample_weight, len(crystals))
            encode = encode_first if previous is None else self._encode_more
            targets = encode(y, weights)
            spec = self._checked_spec(previous, "partial_fit", "call fit")
            if previous is None:
                self.featurizer_ = self._make_featurizer(crystals)
            data = self._training_data(crystals, targets, weights, spec, encode)
            if previous is None or not self._can_reuse_net():
                rng = check_random_state(self.random_state)
                self._make_net(
                    rng, spec, previous, None, schedule="constant", n_epochs=1
                )
                spec.check_own_parts(
                    self.net_.module_, data.graphs, self.matmul_precision
                )
            dataset = data.pack(self.net_.device)
            if previous is None:
                fit_baseline(self.net_, dataset)
            self._learn_elements(data.graphs, previous)
            return self._train(dataset, 1)

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
        with named_as_in("X_val"):
            crystals = check_crystals(X, on_error=self._on_error(), on_disk=True)
        n_crystals = len(crystals)
        targets = self._encode_more_target(y, n_crystals, "y_val")
        weights = check_sample_weight(sample_weight, n_crystals, "sample_weight_val")
        return crystals, targets, weights

    def _checked_spec(
        self, previous: CrystalNet | None, method: str, remedy: str
    ) -> NetworkSpec:
        """Check and return the spec of the network to train.

        Parts that do not fit together, parts that differ from those of the previous
        net, and a device that this machine lacks raise an error before any work is
        done. `method` and `remedy` are as in `NetworkSpec.check_continues`.
        """
        if previous is None:
            spec = self._current_spec()
            spec.build()
        else:
            spec = self._current_spec(self._network_spec.baseline)
            spec.check_continues(self._network_spec, method, remedy)
        resolve_device(self.device, self.compile)
        return spec

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

    def _learn_elements(self, graphs: AnyGraphs, previous: CrystalNet | None) -> None:
        """Remember which elements the network has been trained on."""
        before: Any = np.array([], dtype=np.int64)
        if previous is not None:
            before = self._elements
        elif self.pretrained is not None:
            before = pretrained_model(self.pretrained)._elements
        # It is not known for weights from elsewhere.
        known = before is not None
        self._elements = np.union1d(before, elements_of(graphs)) if known else None

    def _training_data(
        self,
        crystals: Any,
        targets: Targets,
        weights: NDArray[np.float64],
        spec: NetworkSpec,
        encode: Callable[[Any, NDArray[np.float64]], Targets],
    ) -> TrainingData:
        """Return graphs, targets, and sample weights with a mean of one.

        The weights include class weights. Graphs are also made of crystals of weight
        zero, so that those that cannot become graphs are reported.
        """
        graphs = self._make_graphs(crystals, spec)
        if graphs.failed:
            warn_of_failed(graphs)
            rows = np.flatnonzero(~graphs.is_failed)
            graphs, weights = graphs[rows], weights[rows]
            # As if the others had not been there: mean, deviation and classes too.
            weights = check_sample_weight(weights, len(rows))
            targets = encode(targets.given[rows], weights)
        weights = self._apply_class_weights(targets, weights)
        return TrainingData(graphs, targets, weights).with_mean_weight_one()

    def _encode_more(self, y: Any, weights: NDArray[np.float64]) -> Targets:
        return self._encode_more_target(y, len(weights))

    def _split(
        self,
        data: TrainingData,
        validation: tuple[Any, Targets, NDArray[np.float64]] | None,
        spec: NetworkSpec,
        rng: np.random.RandomState,
    ) -> tuple[CrystalDataset, CrystalDataset | None]:
        """Return the crystals for training and those for validation, on the device."""
        device = resolve_device(self.device)
        if validation is not None:
            crystals, targets, weights = validation
            with named_as_in("X_val"):
                graphs = self._make_graphs(crystals, spec, "X_val")
            valid = TrainingData(graphs, targets, weights)
            if graphs.failed:
                warn_of_failed(graphs, "X_val")
                valid = valid.take(np.flatnonzero(~graphs.is_failed))
                check_sample_weight(
                    valid.weights, len(valid.graphs), "sample_weight_val"
                )
            valid = valid.with_mean_weight_one()
            return data.pack(device), valid.pack(device)
        if not self.early_stopping:
            return data.pack(device), None
        labels = self._labels_to_stratify(data.targets)
        train, valid = data.hold_out(self.validation_fraction, rng, labels)
        return train.pack(device), valid.pack(device)

    def _load_weights(self, weights: Mapping[str, Any], n_epochs: int) -> None:
        """Become fitted with weights from elsewhere; the target is already learned."""
        self._validate_params()
        spec = self._current_spec("linear" if "baseline.weight" in weights else None)
        complete = complete_weights(spec, weights)
        self._network_spec, self._net_params = spec, None
        self._prediction_params = self._current_prediction_params()
        self.featurizer_ = self._make_featurizer(None)
        self._elements = None
        self._clear_history(n_epochs)
        self.net_ = self._restore_net(complete)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")
