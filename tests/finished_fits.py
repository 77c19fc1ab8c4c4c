"""Results that long benchmarks keep, to be stopped and continued, or shared."""

import json
import os

import joblib


def asked_for(name, default):
    """Return the items of an environment variable, which are separated by commas."""
    return os.environ.get(name, default).split(",")


class Store:
    """Finished fits in a file, one a line.

    Parameters
    ----------
    path : Path or None
        The file. None keeps nothing.
    """

    def __init__(self, path):
        self._path = path
        self.fits = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                fit = json.loads(line)
                self.fits[self._key(fit)] = fit

    @staticmethod
    def _key(fit):
        return fit["task"], fit["choice"], fit["seed"], fit["part"]

    def find_or_run(self, function, **key):
        """Return a finished fit, or run it and keep it."""
        if self._key(key) not in self.fits:
            fit = self.fits[self._key(key)] = {**key, **function()}
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps(fit) + "\n")
        return self.fits[self._key(key)]


def kept_in_file(path, function):
    """Return an object from a file, or make it and write the file.

    Parameters
    ----------
    path : Path or None
        The file. None keeps nothing.
    function : callable
        Makes the object.
    """
    if path is not None and path.exists():
        return joblib.load(path)
    made = function()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        joblib.dump(made, unfinished)
        # A file is whole or not there, whenever the run is stopped.
        unfinished.replace(path)
    return made
