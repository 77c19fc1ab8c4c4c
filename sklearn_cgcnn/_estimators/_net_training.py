"""How an estimator makes its net, trains it, and keeps its history."""

import copy
from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from torch import nn

from sklearn_cgcnn._estimators._equality import is_equal
from sklearn_cgcnn._estimators._fingerprint import training_fingerprint
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._estimators._parameters import EstimatorParameters
from sklearn_cgcnn._estimators._persistence import PersistentWeights
from sklearn_cgcnn._estimators._pretrained import (
    inherited_spec,
    pretrained_model,
    pretrained_network,
)
from sklearn_cgcnn._training import (
    CrystalDataset,
    CrystalNet,
    DivergenceGuard,
    EpochRule,
    FreezeLayers,
    KeepBestEpoch,
    Progress,
    SaveEpochs,
    TargetEncoding,
    TrainingCheckpoint,
    build_net,
    is_complete,
    make_optimizer_params,
    make_schedule,
    prepare_callbacks,
    resolve_device,
)
from sklearn_cgcnn.nn import CGCNN

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
    "freeze",
)
# Parameters that do not change the result of a training, or whose effect its data and
# its initial weights show.
_NOT_IN_FINGERPRINT = {
    "checkpoint_dir",
    "device",
    "featurizer",
    "n_jobs",
    "on_error",
    "pretrained",
    "random_state",
    "validation_fraction",
    "verbose",
    "warm_start",
}
# Prefixes of what is recorded of an epoch.
_PARTS = ("train", "valid")


class NetTraining(PersistentWeights, EstimatorParameters):
    """Base class that makes and trains the net of an estimator."""

    #: What ``max_epochs="auto"`` stands for.
    _epoch_rule: ClassVar[EpochRule]

    n_iter_: int
    best_epoch_: int | None
    history_: dict[str, list[float]]
    loss_curve_: list[float]
    validation_scores_: list[float] | None

    @abstractmethod
    def _encoding(self) -> TargetEncoding:
        """Return what the outputs of the network mean."""

    @abstractmethod
    def _make_criterion(self) -> nn.Module:
        """Return the loss, which gives one value per target."""

    @abstractmethod
    def _n_outputs(self) -> int:
        """Return the number of outputs of the network."""

    def _check_checkpoint(self) -> None:
        if self.checkpoint_dir is not None and self.random_state is None:
            raise ValueError(
                "checkpoint_dir needs a random_state, because a fit with another seed "
                "is another fit; set random_state to an int"
            )

    def _make_net(
        self,
        rng: np.random.RandomState,
        spec: NetworkSpec,
        previous: CrystalNet | None,
        valid: CrystalDataset | None,
        schedule: Any,
        n_epochs: int,
    ) -> None:
        """Make the net that trains a new network, or the one of the previous net."""
        seed = int(rng.randint(np.iinfo(np.int32).max))
        if previous is None:
            self._clear_history()
            module, self._network_spec = self._make_network(spec, seed), spec
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
            has_trained_weights=previous is not None or self.pretrained is not None,
            compiled=self.compile,
            matmul_precision=self.matmul_precision,
            lr=self.lr,
            max_epochs=n_epochs,
            **make_optimizer_params(self.optimizer, self.weight_decay),
        )

    def _n_epochs(self, n_crystals: int) -> int:
        """Return the number of epochs to train on this many crystals."""
        if self.max_epochs == "auto":
            return self._epoch_rule.n_epochs(n_crystals, int(self.batch_size))
        return int(self.max_epochs)

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
        if self.freeze is not None:
            callbacks.insert(0, FreezeLayers(self.freeze))
        # These come last, because they must see what the user's do to the weights.
        callbacks += [DivergenceGuard(), Progress(self.verbose)]
        return callbacks + make_schedule(schedule)

    def _make_network(self, spec: NetworkSpec, seed: int) -> CGCNN:
        """Return a network with random weights, or with those of `pretrained`."""
        if self.pretrained is None:
            return spec.build(seed)
        return pretrained_network(spec, self, pretrained_model(self.pretrained), seed)

    def _set_checkpoint(
        self, train: CrystalDataset, valid: CrystalDataset | None
    ) -> None:
        """Let the net save its progress, if `checkpoint_dir` is set."""
        if self.checkpoint_dir is None:
            return
        params = self.get_params(deep=False).items()
        params = {k: v for k, v in params if k not in _NOT_IN_FINGERPRINT}
        fingerprint = training_fingerprint(params, self.net_, train, valid)
        self.net_.checkpoint = TrainingCheckpoint(self.checkpoint_dir, fingerprint)
        self.net_.callbacks_.append(("save", SaveEpochs(self.net_.checkpoint)))

    def _current_spec(self, auto_baseline: str | None = None) -> NetworkSpec:
        """Return the spec that the parameters describe.

        `auto_baseline` is what ``baseline="auto"`` stands for.
        """
        if self.pretrained is None:
            params = dict(vars(self))
            if params.get("baseline") == "auto":
                params["baseline"] = auto_baseline
            return NetworkSpec.from_params(params, self._n_outputs())
        model = pretrained_model(self.pretrained)
        return inherited_spec(self, model, self._n_outputs())

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

    def _train(self, dataset: CrystalDataset, epochs: int) -> Self:
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
        self.best_epoch_ = None
        for _, callback in net.callbacks_:
            if isinstance(callback, KeepBestEpoch) and rows:
                self.best_epoch_ = n_before + callback.best_epoch_
