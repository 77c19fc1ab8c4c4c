"""One CIF file: its syntax, the crystal that it lists, and the structure made from it.

Processes that read files import this package without ``sklearn_cgcnn`` itself, which
takes seconds to import. It therefore imports nothing of the package outside itself.
"""

from sklearn_cgcnn.datasets._cif._file import CIFReading, read_cif

__all__ = ["CIFReading", "read_cif"]
