"""The command line: ``sklearn-cgcnn``, or ``python -m sklearn_cgcnn``."""

import sys

from sklearn_cgcnn._command_line import main

if __name__ == "__main__":
    sys.exit(main())
