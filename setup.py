"""Build of the C++ part; everything else is in pyproject.toml.

The extension uses LibTorch's stable ABI only: built against one torch, it runs with every later one and any Python.
That torch is looked for where the package will be installed, so that an isolated build downloads no second one.
"""

import sys
from pathlib import Path

import setuptools

OLDEST_SETUPTOOLS = 77  # the form of pyproject.toml's `license`
if int(setuptools.__version__.split(".")[0]) < OLDEST_SETUPTOOLS:
    raise SystemExit(
        f"tryon_kernels: got setuptools {setuptools.__version__}, expected >= {OLDEST_SETUPTOOLS}: "
        f'pip install "setuptools>={OLDEST_SETUPTOOLS}", or install without --no-build-isolation'
    )

sys.path.insert(0, str(Path(__file__).parent))  # isolated builds have not got it
from build_support.commands import EXTENSIONS, BuildKernels, PlatformWheel  # noqa: E402
from build_support.torch_at_hand import torch_to_fetch  # noqa: E402

setuptools.setup(
    ext_modules=EXTENSIONS,
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": PlatformWheel},
    setup_requires=torch_to_fetch(),
)
