"""Save a training after its epochs, and resume it bit for bit."""

import io
import os
import pickle
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.callbacks.scoring import ScoringBase
from torch import nn

from sklearn_cgcnn._atomic_file import remove_unfinished, write_atomically
from sklearn_cgcnn.nn import Dropout

# Raise it when the content changes. Files of another version are not resumed.
_VERSION = 1
# Seconds. Writing takes milliseconds, which would add up for epochs that are as short.
_MIN_INTERVAL = 1.0
# Seconds after which a temporary file cannot be one that another process is writing.
_STALE = 3600.0


class TrainingCheckpoint:
    """The file from which an interrupted training resumes.

    The file holds weights, optimizer, schedule, states of callbacks and of random
    generators, and the history. It is replaced as a whole, so that it is never
    incomplete: after a kill at any moment, it is the one before or the new one.

    Parameters
    ----------
    folder : path-like
        Folder of the file. It is created if it does not exist.
    fingerprint : str
        What identifies the training: its data, parameters and initial weights. It is
        the name of the file.
    """

    def __init__(self, folder: str | os.PathLike[str], fingerprint: str) -> None:
        self.path = Path(folder) / f"{fingerprint}.pt"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._saved_at = time.monotonic()
        remove_unfinished(self.path.parent, self.path.name, older_than=_STALE)

    def load(self, device: torch.device | str) -> dict[str, Any] | None:
        """Read the file.

        Parameters
        ----------
        device : torch.device or str
            Device for the tensors.

        Returns
        -------
        dict of str to object, or None
            The state that :meth:`save` stored. None if there is no file.

        Raises
        ------
        ValueError
            If the file is damaged, or has another version.
        """
        try:
            content = torch.load(self.path, map_location=device, weights_only=False)
        except FileNotFoundError:
            return None
        except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
            raise ValueError(
                f"{self.path} cannot be read ({error}); delete it to start this fit "
                "anew, or set another checkpoint_dir"
            ) from error
        version = content.get("version") if isinstance(content, dict) else None
        if version != _VERSION:
            raise ValueError(
                f"{self.path} has version {version}, but this release of sklearn_cgcnn "
                f"resumes version {_VERSION}; delete it to start this fit anew, or "
                "set another checkpoint_dir"
            )
        state: dict[str, Any] = content["state"]
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file.

        Parameters
        ----------
        state : mapping of str to object
            What :func:`training_state` returns.
        """
        contents = io.BytesIO()
        torch.save({"version": _VERSION, "state": dict(state)}, contents)
        write_atomically(self.path, [contents.getbuffer()])
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last save is long enough ago."""
        return time.monotonic() - self._saved_at >= _MIN_INTERVAL


class SaveEpochs(Callback):  # type: ignore[misc]
    """Save the training after an epoch, at most once a second.

    It must be the last of all callbacks, so that it saves what the others have become.

    Parameters
    ----------
    checkpoint : TrainingCheckpoint
        Where to save it.
    """

    def __init__(self, checkpoint: TrainingCheckpoint) -> None:
        self.checkpoint = checkpoint

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Save the training."""
        if self.checkpoint.is_due:
            self.checkpoint.save(training_state(net, is_finished=False))


def training_state(net: NeuralNet, *, is_finished: bool) -> dict[str, Any]:
    """Return all that changes during a training.

    Parameters
    ----------
    net : CrystalNet
        The net, between two epochs.
    is_finished : bool
        Whether the training is over.

    Returns
    -------
    dict of str to object
    """
    return {
        "is_finished": is_finished,
        "is_stopped": net.is_stopped_,
        "n_trained": len(net.history) - net.n_epochs_at_start_,
        "module": net.module_.state_dict(),
        "trainable": [each.requires_grad for each in net.module_.parameters()],
        "optimizer": net.optimizer_.state_dict(),
        "generators": [each.get_state() for each in _generators(net)],
        "history": net.history.to_list(),
        "trained_epochs": list(net.__dict__.get("trained_epochs_", [])),
        "callbacks": {
            name: _callback_state(callback) for name, callback in _stateful(net)
        },
    }


def restore_training(net: NeuralNet, state: Mapping[str, Any]) -> None:
    """Continue where :func:`training_state` was called.

    Parameters
    ----------
    net : CrystalNet
        A net that was built for the same training, and whose callbacks have seen its
        beginning.
    state : mapping of str to object
        The state to restore.
    """
    net.module_.load_state_dict(state["module"])
    for parameter, trainable in zip(
        net.module_.parameters(), state["trainable"], strict=True
    ):
        parameter.requires_grad_(trainable)
    net.optimizer_.load_state_dict(state["optimizer"])
    for generator, value in zip(_generators(net), state["generators"], strict=True):
        generator.set_state(value.cpu())
    net.history.clear()
    net.history.extend(state["history"])
    for name, callback in _stateful(net):
        _restore_callback(callback, state["callbacks"].get(name, {}))


def _generators(net: NeuralNet) -> Iterator[torch.Generator]:
    """Yield the sources of randomness: of the shuffles, and of dropout."""
    yield net.iterator_train__generator
    for layer in net.module_.modules():
        if isinstance(layer, Dropout) and layer.generator is not None:
            yield layer.generator


def _stateful(net: NeuralNet) -> Iterator[tuple[str, Callback]]:
    for name, callback in net.callbacks_:
        if not isinstance(callback, SaveEpochs):
            yield name, callback


def _callback_state(callback: Callback) -> dict[str, tuple[str, Any]]:
    """Return the attributes of a callback that can be stored."""
    state = {}
    for name, value in (callback.__getstate__() or {}).items():
        # Scoring callbacks keep the crystals of an epoch that is over.
        if isinstance(callback, ScoringBase) and name != "best_score_":
            continue
        if hasattr(value, "load_state_dict") and not isinstance(value, type):
            state[name] = ("state_dict", value.state_dict())
        elif not isinstance(value, Callback | nn.Module) and _can_be_pickled(value):
            state[name] = ("value", value)
    return state


def _restore_callback(callback: Callback, state: Mapping[str, tuple[str, Any]]) -> None:
    for name, (kind, value) in state.items():
        if kind == "value":
            setattr(callback, name, value)
        elif hasattr(callback, name):  # a complete training has made no schedule
            getattr(callback, name).load_state_dict(value)


def _can_be_pickled(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 (an object of a user can raise anything)
        return False
    return True
