"""How tables of facts name the code behind an entry."""

import subprocess
import sys

import pytest

from gdstudy.data.features import legendre
from gdstudy.study.entries import code


def test_an_entry_is_a_name_that_is_imported_or_the_object_itself():
    assert code("gdstudy.data.features:legendre") is legendre
    assert code(legendre) is legendre
    with pytest.raises(AttributeError):
        code("gdstudy.data.features:nothing")
    with pytest.raises(ModuleNotFoundError):
        code("gdstudy.nowhere:legendre")


def test_naming_code_does_not_import_it():
    tables = "import gdstudy.study.models, gdstudy.study.datasets, gdstudy.study.optimizers, gdstudy.study.laws"
    checked = f"{tables}; import gdstudy.study.config as c, sys; c.Study()"
    script = f"{checked}; sys.exit(bool({{'torch', 'sklearn', 'numpy', 'scipy', 'pandas'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    assert subprocess.run([sys.executable, "-c", script.replace("c.Study()", "import numpy")]).returncode == 1
