"""Classification of crystals."""

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import ClassifierMixin

from sklearn_cgcnn._estimators._base import BaseCGCNN
from sklearn_cgcnn._validation import check_class_target


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
    n_conv_layers : int, default=3
        Number of convolutions.
    n_site_channels : int, default=64
        Width of the site vectors.
    n_hidden_layers : int, default=1
        Number of hidden layers between pooling and output.
    n_hidden_channels : int, default=128
        Their width.
    edge_basis : {"gaussian", "one-hot"} or EdgeBasis, default="gaussian"
        Features of an edge's length: Gaussians at steps of 0.2 Å from 0 to 8 Å as in
        the authors' program, 10 bins from 0.7 to 5.2 Å as in the paper's Table III, or
        a :class:`sklearn_cgcnn.nn.EdgeBasis` with a range or form of one's own.
    dropout : float, default=0.0
        Probability of dropping a hidden channel during training, after pooling.
    optimizer : {"adamw", "adam", "sgd"}, default="adamw"
        The optimizer; "sgd" has a momentum of 0.9.
    lr : float, default=0.01
        Learning rate, the highest where it follows a schedule.
    lr_schedule : {"one_cycle", "constant"}, default="one_cycle"
        How the learning rate changes with every batch: one rise and fall over the whole
        training, or not at all.
    weight_decay : float, default=0.01
        Weight decay, as the optimizer defines it.
    max_epochs : int, default=30
        Number of passes over the training crystals.
    batch_size : int, default=64
        Largest number of crystals in a batch.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the crystals of each class, stop
        when the loss on them has not fallen for `n_iter_no_change` epochs, and return
        to the epoch where it was lowest. False trains on all crystals for `max_epochs`.
    validation_fraction : float, default=0.1
        Fraction of the crystals held out by `early_stopping`.
    n_iter_no_change : int, default=50
        Number of epochs that `early_stopping` waits for a lower loss.
    device : str or torch.device, default="auto"
        Where to train and predict. "auto" takes a CUDA GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, batches, dropout and the held-out crystals. Pass an
        int for the same result on every call, on the same machine and number of
        threads.
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
        Number of epochs trained.
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

    def __init__(
        self,
        *,
        featurizer=None,
        n_conv_layers=3,
        n_site_channels=64,
        n_hidden_layers=1,
        n_hidden_channels=128,
        edge_basis="gaussian",
        dropout=0.0,
        optimizer="adamw",
        lr=0.01,
        lr_schedule="one_cycle",
        weight_decay=0.01,
        max_epochs=30,
        batch_size=64,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=50,
        device="auto",
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        super().__init__(
            featurizer=featurizer,
            n_conv_layers=n_conv_layers,
            n_site_channels=n_site_channels,
            n_hidden_layers=n_hidden_layers,
            n_hidden_channels=n_hidden_channels,
            edge_basis=edge_basis,
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
            device=device,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )

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
        return softmax(self._predict_outputs(X).astype(np.float64), axis=1)

    def _encode_target(self, y, n_crystals):
        self.classes_, codes = check_class_target(y, n_crystals)
        return torch.tensor(codes)

    def _criterion(self):
        return torch.nn.CrossEntropyLoss

    def _n_outputs(self):
        return len(self.classes_)

    def _stratify(self, targets):
        return targets.numpy()
