"""The import path that scripts outside have for `ltbench.specs`."""

from ltbench.specs import *  # noqa: F403 - all of it, under its former name
from ltbench.specs import __all__  # noqa: F401
