"""Classification of crystals."""

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer

from sklearn_cgcnn._estimators._base import BaseCGCNN
from sklearn_cgcnn._estimators._class_targets import ClassTargets, most_probable
from sklearn_cgcnn._estimators._training_data import Targets
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._sklearn_compat import StrOptions, fit_context
from sklearn_cgcnn._training import CLASS_LOSSES, CLASSIFICATION_EPOCHS, make_criterion
from sklearn_cgcnn._validation import check_class_target
from sklearn_cgcnn.nn import Conv, EdgeBasis, Pooling, Readout


class CGCNNClassifier(ClassifierMixin, ClassTargets, BaseCGCNN):  # type: ignore[misc]
    """Crystal graph convolutional neural network for classes of crystals.

    The network of :class:`CGCNNRegressor`, with one output per class, a softmax over
    the outputs, and by default the cross-entropy as loss (paper, supplement). It
    supports two or more classes with labels of any type that can be sorted.

    Parameters
    ----------
    featurizer : CrystalGraphFeaturizer or None, default=None
        Turns structures into graphs. None uses the default settings, or the settings of
        the graphs passed to `fit`. These do not say how isolated sites were treated.
    pretrained : FrozenEstimator, str or None, default=None
        Fitted estimator whose weights the training begins from, as
        ``FrozenEstimator(model)`` (:class:`sklearn.frozen.FrozenEstimator`), which
        `clone` keeps, or the name of a model of :mod:`sklearn_cgcnn.pretrained`.
        `model` is an estimator of this package, or a Pipeline or a search that ends in
        one. Parameters of the network and `featurizer` are taken from it; those set to
        another value raise an error. Targets are standardized anew. The output layer
        gets new random weights if the outputs differ: other classes, or another number
        of targets. None draws random weights.
    freeze : int, "convolutions", list of str or None, default=None
        Layers that keep their initial weights, for example those of `pretrained`. An
        integer n freezes the embedding and the first n convolutions. "convolutions"
        freezes everything but the readout. A list has patterns for names of
        parameters, as in ``["embedding.*"]``. None trains all layers. `lr` is the
        learning rate of the rest.
    conv : {"gated_update", "gated", "shared"} or type of Conv, default="gated_update"
        The convolution. "gated" has a gate on every edge (paper, Eq. 5). "gated_update"
        also learns how the sum over the neighbors changes a site
        (:class:`sklearn_cgcnn.nn.GatedUpdateConv`). "shared" uses the same weights for
        all neighbors (Eq. 4). To use another one, pass your own subclass of
        :class:`sklearn_cgcnn.nn.Conv`.
    pooling : {"mean", "all_layers"} or type of Pooling, default="mean"
        How the site vectors of a crystal become one vector. "mean" is the mean over the
        sites after the last convolution (Eq. S16). "all_layers" is the mean over the
        sites of contributions from all layers (Eqs. S11 to S13). To use another one,
        pass your own subclass of :class:`sklearn_cgcnn.nn.Pooling`.
    readout : {"crystal", "site"} or type of Readout, default="crystal"
        What hidden layers and output are applied to. "crystal" applies them to the
        pooled vector. "site" applies them to each site and predicts the mean over the
        sites (Eqs. S14 and S15; see
        :func:`sklearn_cgcnn.inspection.site_contributions`). To use another one, pass
        your own subclass of :class:`sklearn_cgcnn.nn.Readout`.
    n_conv_layers : int, default=3
        Number of convolutions.
    n_site_channels : int, default=64
        Width of the site vectors.
    n_hidden_layers : int, default=1
        Number of hidden layers before the output. They are applied to the crystal (L2
        in the paper), or to each site (L1) with ``readout="site"``.
    n_hidden_channels : int, default=128
        Width of the hidden layers.
    site_features : str, sequence, mapping or SiteFeatures, default="properties+learned"
        Features of each site's element. "properties" uses the nine properties of the
        paper's Table II. A list of names, as in ``["group", "period"]``, uses some of
        them. "properties+learned" puts a learned vector beside the nine properties
        (:class:`sklearn_cgcnn.nn.LearnedSiteFeatures`); for elements absent from the
        training crystals it stays zero. "learned" uses a learned vector alone; elements
        absent from the training crystals keep a random one. Your own table can be a
        DataFrame or mapping by symbol or atomic number, an array with one row per
        atomic number starting from 0, or the path of a JSON file with such a mapping,
        for example the ``atom_init.json`` of the authors' program. Your own table is
        not scaled, so bring its columns to similar ranges first.
    edge_basis : str, EdgeBasis or None, default="embedded"
        Features of an edge, computed from its length. "gaussian" uses Gaussians from 0
        to 8 Å in steps of 0.2 Å, as in the authors' program. "embedded" passes them
        through a small network (:class:`sklearn_cgcnn.nn.EmbeddedDistances`). "one-hot"
        uses 10 bins from 0.7 to 5.2 Å, as in the paper's Table III. For another range
        or form, pass an instance of :class:`sklearn_cgcnn.nn.EdgeBasis`. None uses
        connectivity alone.
    norm : {"batch"}, callable or None, default="batch"
        Normalization in the convolutions. "batch" is batch normalization, as in the
        authors' program. None uses no normalization, as the equations are printed. A
        callable receives a width and returns a module, which is called with rows and
        with the number of equal rows that each row stands for, like
        :class:`sklearn_cgcnn.nn.BatchNorm`.
    activation : str or callable, default="silu"
        The function g of the paper, used in convolutions and hidden layers: "softplus",
        "relu", "silu", "tanh", "identity", a function of a tensor, or a torch module as
        a class or an instance. The whole network shares one instance.
    dropout : float, default=0.0
        Probability of dropping a hidden channel during training, after each hidden
        layer. All sites of a crystal lose the same channels.
    loss : {"cross_entropy"} or callable, default="cross_entropy"
        The loss. To use another one, pass a loss of torch as a class or an instance, as
        in ``torch.nn.CrossEntropyLoss(label_smoothing=0.1)``, or a function of logits
        of shape (n_crystals, n_classes) and codes of shape (n_crystals,), which are
        positions in `classes_`. It must return one value per crystal.
    optimizer : {"muon", "adamw", "adam", "sgd"} or callable, default="muon"
        The optimizer. "muon" makes the updates of matrices orthogonal and treats other
        parameters as "adamw" does (Jordan et al. 2024). "sgd" has a momentum of 0.9.
        The schedule "one_cycle" varies the momentum, or the first beta of the others,
        between 0.85 and 0.95. To use another optimizer, pass its class, or a partial of
        it with further arguments.
    lr : float, default=0.01
        Learning rate. With a schedule it is the highest one.
    lr_schedule : {"one_cycle", "constant"} or callable, default="one_cycle"
        Schedule of the learning rate. "one_cycle" rises and falls once over the whole
        training and is stepped after every batch. To use another scheduler of torch,
        pass its class or a partial of it; it is stepped after every epoch.
    weight_decay : float or "auto", default="auto"
        Weight decay as the optimizer defines it. It has no effect on optimizers without
        such a parameter. "auto" is 0.1 for "muon" and 0.01 for any other optimizer.
    max_epochs : int or "auto", default="auto"
        Number of passes over the training crystals. "auto" takes as many as 2,000 steps
        need, but at least 8 and at most 30.
    batch_size : int, default=64
        Largest number of crystals in a batch of the training.
    early_stopping : bool, default=False
        Whether to restore the best epoch, judged by the loss on held-out crystals.
        These are `X_val` of `fit`, or `validation_fraction` of the crystals of each
        class. A training with ``lr_schedule="one_cycle"`` always runs to the end of the
        cycle, because the error falls most where the learning rate does. An earlier
        epoch is restored only if its loss is lower by more than chance. Others stop
        when the loss has not fallen for `n_iter_no_change` epochs, and restore the
        epoch with the lowest one. False keeps the weights of the last epoch.
    validation_fraction : float, default=0.1
        Fraction of the crystals that `early_stopping` holds out.
    n_iter_no_change : int, default=10
        Number of epochs that `early_stopping` waits for a lower loss. It has no effect
        with ``lr_schedule="one_cycle"``.
    class_weight : dict, "balanced" or None, default=None
        Class weights, by which sample weights are multiplied. "balanced" gives all
        classes the same total weight, if sample weights are equal. None leaves sample
        weights as they are.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit, with a new optimizer.
        False draws new initial weights.
    callbacks : list of skorch callbacks or None, default=None
        Callbacks of the training, for example
        ``[skorch.callbacks.GradientNormClipping(1.0)]``. They are copied, so that the
        originals do not change.
    checkpoint_dir : str, path-like or None, default=None
        Folder in which `fit` saves its progress after epochs, at most once a second.
        After an interrupt or a crash, the next `fit` with the same data and parameters
        resumes from there, and ends with the same weights as an undisturbed one. A fit
        that is complete is loaded. Each fit has a file of its own, so that a search can
        use one folder. It needs a `random_state`. Files are read by pickle: use a
        folder that only you can write to. None saves nothing.
    device : str or torch.device, default="auto"
        Device to train and predict on. "auto" uses a CUDA GPU if there is one.
    compile : bool or "auto", default="auto"
        Whether to sum over the edges in compiled loops. Results then differ in their
        last digits. Supported for `conv` "gated_update" with softplus or SiLU and for
        "gated" with softplus; others run as usual. On a CPU, Numba compiles the loops,
        which takes a few seconds once per machine and half a second per process; on one
        core, training then takes half to three quarters of the time. On a CUDA GPU,
        torch compiles them in each process. "auto" compiles for a CPU, in every
        training or prediction that is long enough: by estimate, it must save one
        second.
    matmul_precision : {"float32", "tf32", "bfloat16"}, default="float32"
        Precision of matrix products. Lower precision is for GPUs on which it is faster.
        "tf32" rounds the factors to 11 significant bits instead of 24; it has an effect
        on CUDA GPUs only. "bfloat16" rounds factors and products to 8 bits, by torch's
        autocast. Sums over edges, statistics and stored weights are not rounded.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, batches, dropout and held-out crystals. Pass an int
        for the same result on every call, on the same processor with the same number of
        threads. On a GPU the order of sums varies, and with it the last digits.
    on_error : {"raise", "collect"}, default="raise"
        How to treat crystals that cannot become graphs, if `featurizer` is None.
        "raise" raises an error that names all of them. "collect" leaves them out of
        `fit`, with a warning that names them, and predicts NaN for them. Graphs that
        were made with "collect" are always treated so, but structures passed later to
        `predict` are not.
    n_jobs : int or None, default=None
        Number of processes that featurize structures, if `featurizer` is None.
    verbose : int, default=0
        Whether to show progress bars.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, in ascending order.
    featurizer_ : CrystalGraphFeaturizer
        Turns structures into graphs for prediction.
    net_ : skorch.NeuralNet
        The trained net. Its ``module_`` is the torch module.
    n_iter_ : int
        Number of epochs trained. Calls of `partial_fit`, and of `fit` with
        `warm_start`, add to it.
    best_epoch_ : int or None
        The epoch whose weights `early_stopping` restored, counted from 1. None without
        it.
    history_ : dict of str to list of float
        What was recorded of each epoch: "train_loss" and "train_accuracy", and with
        held-out crystals "valid_loss" and "valid_accuracy". Values of the training are
        means over its batches, while the weights changed. NaN where nothing was
        recorded, as for epochs of `load_weights`.
    loss_curve_ : list of float
        Mean training loss of each epoch. The same as ``history_["train_loss"]``.
    validation_scores_ : list of float or None
        Negative loss on the held-out crystals after each epoch that had some. None if
        none had.

    See Also
    --------
    CGCNNRegressor : Regression.
    CrystalGraphFeaturizer : Turns structures into graphs.

    References
    ----------
    T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018).

    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
    https://kellerjordan.github.io/posts/muon.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNClassifier
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> crystals = make_ionic_crystals(40, random_state=0)
    >>> model = CGCNNClassifier(max_epochs=20, random_state=0)
    >>> model = model.fit(crystals.data, crystals.prototype)
    >>> model.predict_proba(crystals.data[:3]).shape == (3, len(model.classes_))
    True
    """

    loss: str | Callable[[Tensor, Tensor], Tensor]
    _epoch_rule = CLASSIFICATION_EPOCHS
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseCGCNN._parameter_constraints,
        "loss": [StrOptions(set(CLASS_LOSSES)), callable],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        *,
        featurizer: CrystalGraphFeaturizer | None = None,
        pretrained: FrozenEstimator | str | None = None,
        freeze: int | str | list[str] | None = None,
        conv: str | type[Conv] = "gated_update",
        pooling: str | type[Pooling] = "mean",
        readout: str | type[Readout] = "crystal",
        n_conv_layers: int = 3,
        n_site_channels: int = 64,
        n_hidden_layers: int = 1,
        n_hidden_channels: int = 128,
        site_features: Any = "properties+learned",
        edge_basis: str | EdgeBasis | None = "embedded",
        norm: str | Callable[[int], nn.Module] | None = "batch",
        activation: str | Callable[[Tensor], Tensor] = "silu",
        dropout: float = 0.0,
        loss: str | Callable[[Tensor, Tensor], Tensor] = "cross_entropy",
        optimizer: str | Callable[..., Optimizer] = "muon",
        lr: float = 0.01,
        lr_schedule: str | Callable[..., Any] = "one_cycle",
        weight_decay: float | Literal["auto"] = "auto",
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 64,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        class_weight: dict[Any, float] | str | None = None,
        warm_start: bool = False,
        callbacks: list[Callback] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        device: str | torch.device = "auto",
        compile: bool | Literal["auto"] = "auto",
        matmul_precision: str = "float32",
        random_state: int | np.random.RandomState | None = None,
        on_error: str = "raise",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self._store_params(locals())

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            Crystals.

        Returns
        -------
        ndarray of shape (n_crystals,)
            Labels, as in `classes_`.

        Raises
        ------
        StructureError
            If a structure cannot become a graph.
        GraphSettingsError
            If X holds graphs made with other settings than those used in `fit`.
        ValueError
            If ``on_error="collect"`` and crystals cannot become graphs.
        """
        return most_probable(self.predict_proba(X), self.classes_)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict the probability of each class.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            Crystals.

        Returns
        -------
        ndarray of shape (n_crystals, n_classes), float64
            Columns in the order of `classes_`. Each row sums to one. With
            ``on_error="collect"``, rows of crystals that cannot become graphs are NaN.

        Raises
        ------
        StructureError
            If a structure cannot become a graph.
        GraphSettingsError
            If X holds graphs made with other settings than those used in `fit`.
        """
        logits = torch.from_numpy(self._decode(self._predict_outputs(X)))
        probabilities: NDArray[np.float64] = logits.softmax(dim=1).numpy()
        return probabilities

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Train for one more epoch at a constant learning rate.

        The first call creates the network. Optimizer, shuffles and dropout continue
        from call to call. A copy or a pickle keeps the weights alone and starts with a
        new optimizer. ``class_weight="balanced"`` balances the classes of each call.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            Crystals.
        y : array-like of shape (n_crystals,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that will occur in any call. None takes those of the first y.
            Later calls may repeat them.
        sample_weight : array-like of shape (n_crystals,), default=None
            Sample weights. None gives every crystal the same weight.

        Returns
        -------
        CGCNNClassifier
            This estimator, trained.
        """
        if classes is None:
            return self._partial_fit(X, y, sample_weight, self._encode_target)
        announced, _ = check_class_target(classes, len(classes), "classes")
        if hasattr(self, "net_") and not np.array_equal(announced, self.classes_):
            raise ValueError(
                f"classes is {announced.tolist()}, but the first call of partial_fit "
                f"had {self.classes_.tolist()}; pass the same classes, or classes=None"
            )

        def encode_first(y: Any, weights: NDArray[np.float64]) -> Targets:
            self.classes_ = announced
            return self._encode_more_target(y, len(weights))

        return self._partial_fit(X, y, sample_weight, encode_first)

    def load_weights(
        self,
        weights: Mapping[str, Tensor | NDArray[Any]],
        *,
        classes: Any,
        n_epochs: int = 0,
    ) -> Self:
        """Use weights that were trained elsewhere, instead of `fit`.

        Parameters
        ----------
        weights : mapping of str to Tensor or ndarray
            Parameters and buffers of the network that the parameters of this estimator
            describe, by the names of its module's state. Buffers may be left out.
        classes : array-like of shape (n_classes,)
            Labels of the outputs, in ascending order.
        n_epochs : int, default=0
            Number of epochs that the weights were trained for.

        Returns
        -------
        CGCNNClassifier
            This estimator, fitted.

        Raises
        ------
        ValueError
            If a weight is unknown, missing or of the wrong shape, or `classes` are not
            in ascending order.
        """
        labels, codes = check_class_target(classes, len(classes), "classes")
        if not np.array_equal(codes, np.arange(len(codes))):
            raise ValueError(
                f"classes is {list(classes)}; give the labels in ascending order, each "
                "once, and order the outputs alike"
            )
        with self._restored_on_error():
            self.classes_ = labels
            self._load_weights(weights, n_epochs)
        return self

    def _make_criterion(self) -> nn.Module:
        return make_criterion(self.loss)
