"""Classification of crystals."""

from typing import ClassVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight

from sklearn_cgcnn._estimators._base import BaseCGCNN
from sklearn_cgcnn._sklearn_compat import StrOptions, fit_context
from sklearn_cgcnn._validation import check_class_target, check_labels


class CGCNNClassifier(ClassifierMixin, BaseCGCNN):
    """Crystal graph convolutional neural network for classes of crystals.

    The network of :class:`CGCNNRegressor` with one output per class, a softmax over
    them, and the cross-entropy as its loss (paper, supplement). Any number of classes
    with labels of any type.

    Parameters
    ----------
    featurizer : CrystalGraphFeaturizer or None, default=None
        Turns structures into graphs. None means one with default settings, or those of
        the graphs given to `fit`.
    conv : {"gated", "shared"} or type of Conv, default="gated"
        The convolution: a gate for every edge (paper, Eq. 5), or the same weights for
        all neighbors (Eq. 4), or a subclass of :class:`sklearn_cgcnn.nn.Conv`.
    pooling : {"mean", "all_layers"} or type of Pooling, default="mean"
        How the sites of a crystal become one vector: their mean after the last
        convolution (Eq. S16), a mean over what all layers say of them (Eqs. S11 to
        S13), or a subclass of :class:`sklearn_cgcnn.nn.Pooling`.
    readout : {"crystal", "site"} or type of Readout, default="crystal"
        What hidden layers and output read: the pooled crystal, or each site, the mean
        of whose values is then the prediction (Eqs. S14 and S15; see
        :func:`sklearn_cgcnn.inspection.site_contributions`); or a subclass of
        :class:`sklearn_cgcnn.nn.Readout`.
    n_conv_layers : int, default=3
        Number of convolutions.
    n_site_channels : int, default=64
        Width of the site vectors.
    n_hidden_layers : int, default=1
        Number of hidden layers before the output: of the crystal (L2 in the paper), or
        of each site (L1) with ``readout="site"``.
    n_hidden_channels : int, default=128
        Their width.
    site_features : str, sequence, mapping or SiteFeatures, default="properties"
        What is known of a site's element. "properties" are the nine of the paper's
        Table II, which may be named one by one, as in ``["group", "period"]``;
        "learned" is a vector for each element, learned from the training crystals that
        hold it; of an element that none holds it is as it was drawn. A table of one's
        own is a DataFrame or mapping by symbol or atomic number, an array with a row
        for each atomic number from 0, or the path of a JSON file with a mapping, such
        as the ``atom_init.json`` of the authors' program. It is used as it is: bring
        the columns to similar ranges first.
    edge_basis : {"gaussian", "one-hot"}, EdgeBasis or None, default="gaussian"
        Features of an edge's length: Gaussians at steps of 0.2 Å from 0 to 8 Å as in
        the authors' program, 10 bins from 0.7 to 5.2 Å as in the paper's Table III, or
        a :class:`sklearn_cgcnn.nn.EdgeBasis` with a range or form of one's own. None
        leaves only who is whose neighbor.
    norm : {"batch"}, callable or None, default="batch"
        Normalization in the convolutions: batch normalization as in the authors'
        program, none as the equations are printed, or what makes a module from a width,
        like :class:`sklearn_cgcnn.nn.BatchNorm`: it is called with rows and with how
        many equal ones each stands for.
    activation : str or callable, default="softplus"
        The function g of the paper, in convolutions and hidden layers: "softplus",
        "relu", "silu", "tanh", "identity", a function of a tensor, or a module of torch
        by its class or as an instance, of which there is one for the whole network.
    dropout : float, default=0.0
        Probability of dropping a hidden channel of a crystal, and of all its sites,
        during training, after each hidden layer.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
        The optimizer; "sgd" has a momentum of 0.9, which "one_cycle" moves between 0.85
        and 0.95, as it does the first beta of the others. Any other by its class, or by
        a partial of it with further arguments.
    lr : float, default=0.01
        Learning rate, the highest where it follows a schedule.
    lr_schedule : {"one_cycle", "constant"} or callable, default="one_cycle"
        How the learning rate changes: one rise and fall over the whole training, batch
        by batch, or not at all. Any scheduler of torch by its class, or by a partial of
        it, is stepped after every epoch.
    weight_decay : float, default=0.01
        Weight decay, as the optimizer defines it, where it has one.
    max_epochs : int, default=30
        Number of passes over the training crystals.
    batch_size : int, default=64
        Largest number of crystals in a batch of the training.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the crystals of each class, stop
        when the loss on them has not fallen for `n_iter_no_change` epochs, and return
        to the epoch where it was lowest. False trains on all crystals for `max_epochs`.
    validation_fraction : float, default=0.1
        Fraction of the crystals held out by `early_stopping`.
    n_iter_no_change : int, default=10
        Number of epochs that `early_stopping` waits for a lower loss.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, as a factor to `sample_weight`; "balanced" gives all
        classes the same weight in total, and None gives all crystals the same.
    warm_start : bool, default=False
        Whether `fit` goes on with the weights of the last fit, with a new optimizer,
        instead of drawing new ones.
    callbacks : list of skorch callbacks or None, default=None
        What else is to happen during training, for example
        ``[skorch.callbacks.GradientNormClipping(1.0)]``. They are copied, not changed.
    device : str or torch.device, default="auto"
        Where to train and predict. "auto" takes a CUDA GPU where there is one.
    compile : bool, default=False
        Whether to sum over the edges in compiled loops, with results that differ in
        their last digits. There are such for gated convolutions with a softplus and
        batch normalization or none. On a CPU, Numba compiles them (``pip install
        numba``), once on a machine and in seconds; on one core, training then takes two
        thirds of the time, and prediction three quarters. On a CUDA GPU, torch does,
        anew in each process.
    matmul_precision : {"float32", "tf32", "bfloat16"}, default="float32"
        What matrix products are rounded to, for GPUs that are faster then. "tf32"
        rounds their factors to 11 bits of 24, and has no effect but on a CUDA GPU;
        "bfloat16" rounds factors and products to 8, by torch's autocast. Sums over
        edges, statistics and stored weights stay as they are.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, batches, dropout and the held-out crystals. Pass an
        int for the same result on every call, on the same processor with the same
        number of threads. On a GPU sums are taken in no fixed order, and results differ
        in their last digits.
    n_jobs : int or None, default=None
        Number of processes that featurize structures, if `featurizer` is None.
    verbose : int, default=0
        Whether to show progress bars.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, in ascending order.
    featurizer_ : CrystalGraphFeaturizer
        What turns structures into graphs at prediction.
    net_ : skorch.NeuralNet
        The trained net; its ``module_`` is the torch module.
    n_iter_ : int
        Number of epochs trained, all calls of `partial_fit` and, with `warm_start`, of
        `fit` together.
    loss_curve_ : list of float
        Mean training loss in each epoch.
    validation_scores_ : list of float or None
        Negative loss on the held-out crystals after each epoch; None without
        `early_stopping`.

    See Also
    --------
    CGCNNRegressor : For numbers.
    CrystalGraphFeaturizer : Makes the graphs.

    References
    ----------
    T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018).

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

    classes_: np.ndarray
    _parameter_constraints: ClassVar[dict] = {
        **BaseCGCNN._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        *,
        featurizer=None,
        conv="gated",
        pooling="mean",
        readout="crystal",
        n_conv_layers=3,
        n_site_channels=64,
        n_hidden_layers=1,
        n_hidden_channels=128,
        site_features="properties",
        edge_basis="gaussian",
        norm="batch",
        activation="softplus",
        dropout=0.0,
        optimizer="adamw",
        lr=0.01,
        lr_schedule="one_cycle",
        weight_decay=0.01,
        max_epochs=30,
        batch_size=64,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        class_weight=None,
        warm_start=False,
        callbacks=None,
        device="auto",
        compile=False,
        matmul_precision="float32",
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        super().__init__(
            featurizer=featurizer,
            conv=conv,
            pooling=pooling,
            readout=readout,
            n_conv_layers=n_conv_layers,
            n_site_channels=n_site_channels,
            n_hidden_layers=n_hidden_layers,
            n_hidden_channels=n_hidden_channels,
            site_features=site_features,
            edge_basis=edge_basis,
            norm=norm,
            activation=activation,
            dropout=dropout,
            optimizer=optimizer,
            lr=lr,
            lr_schedule=lr_schedule,
            weight_decay=weight_decay,
            max_epochs=max_epochs,
            batch_size=batch_size,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            callbacks=callbacks,
            device=device,
            compile=compile,
            matmul_precision=matmul_precision,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def predict(self, X):
        """Predict the most probable class.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

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
        """
        codes = self.predict_proba(X).argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        ndarray of shape (n_crystals, n_classes), float64
            Columns in the order of `classes_`, rows that add up to one.

        Raises
        ------
        StructureError
            If a structure cannot become a graph.
        GraphSettingsError
            If X holds graphs made with other settings than those used in `fit`.
        """
        logits = torch.from_numpy(self._decode(self._predict_outputs(X)))
        return logits.softmax(dim=1).numpy()

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch more, at a constant learning rate.

        Optimizer, shuffles and dropout go on from call to call; a copy or a pickle
        keeps only the weights, and begins a new optimizer.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        y : array-like of shape (n_crystals,)
            The class of each.
        classes : array-like of shape (n_classes,), default=None
            All classes that there will be; those of the first y if None. Later calls
            may repeat them.
        sample_weight : array-like of shape (n_crystals,), default=None
            How much each crystal counts.

        Returns
        -------
        CGCNNClassifier
            This estimator, trained.
        """
        if classes is None:
            return self._partial_fit(X, y, sample_weight, self._encode_target)
        announced, _ = check_class_target(classes, len(classes))
        if hasattr(self, "net_") and not np.array_equal(announced, self.classes_):
            raise ValueError(
                f"classes is {announced.tolist()}, but the first call of partial_fit "
                f"had {self.classes_.tolist()}; keep to them"
            )

        def encode_first(y, weights):
            self.classes_ = announced
            return self._encode_more_target(y, len(weights))

        return self._partial_fit(X, y, sample_weight, encode_first)

    def _encode_target(self, y, weights):
        classes, codes = check_class_target(y, len(weights))
        continued = self.warm_start and hasattr(self, "net_")
        if continued and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True goes on with the classes {self.classes_.tolist()}, "
                f"but y has {classes.tolist()}; keep to them, or set warm_start=False"
            )
        self.classes_ = classes
        return torch.tensor(codes)

    def _decode(self, outputs):
        return outputs.astype(np.float64)

    def _encode_more_target(self, y, n_crystals):
        labels = check_labels(y, n_crystals)
        codes = np.searchsorted(self.classes_, labels).clip(max=len(self.classes_) - 1)
        unknown = np.flatnonzero(self.classes_[codes] != labels)
        if len(unknown):
            label = labels.tolist()[unknown[0]]
            raise ValueError(
                f"y[{unknown[0]}] is {label!r}, none of the classes "
                f"{self.classes_.tolist()} of the first call of partial_fit; announce "
                "all classes there"
            )
        return torch.tensor(codes)

    def _weigh_classes(self, targets, weights):
        if self.class_weight is None:
            return weights
        counted = self.classes_[targets.numpy()[weights > 0]]
        of_class = compute_class_weight(
            self.class_weight, classes=self.classes_, y=counted
        )
        return weights * of_class[targets.numpy()]

    def _stratify(self, targets):
        return targets.numpy()

    def _make_criterion(self):
        return torch.nn.CrossEntropyLoss(reduction="none")

    def _n_outputs(self):
        return len(self.classes_)
