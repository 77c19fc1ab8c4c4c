"""Versioned state: what pickle, joblib and skops store of an object."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

State = dict[str, Any]

_KEY = "_state_version"


class VersionedState:
    """Mixin that stores a version with the state, and upgrades older states.

    Raise the version when the state changes, for example by a new parameter. Add a
    function to the upgrades that turns a state of the version before into one of the
    new version. An upgrade may change the dictionary that it receives.
    """

    _state_version: ClassVar[int] = 1
    #: By version n, the function that turns a state of version n into version n + 1.
    _state_upgrades: ClassVar[Mapping[int, Callable[[State], State]]] = {}

    def __getstate__(self) -> State:
        state: State = super().__getstate__()  # type: ignore[assignment]
        return {**state, _KEY: self._state_version}

    def __setstate__(self, state: State) -> None:
        super().__setstate__(self._upgraded(state))  # type: ignore[misc]

    def _upgraded(self, state: State) -> State:
        """Return a state of the current version, without the entry of the version."""
        state = state.copy()
        stored = version = state.pop(_KEY, None)
        while version in self._state_upgrades:
            state = self._state_upgrades[version](state)
            version += 1
        if version != self._state_version:
            name, current = type(self).__name__, self._state_version
            raise ValueError(
                f"the stored {name} has state version {stored}, but this release of "
                f"sklearn_cgcnn reads versions up to {current}; load it with the "
                "release that stored it, or fit it again"
            )
        return state
