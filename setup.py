"""The list of packages, which pyproject.toml cannot say: everything below ltbench/, and the three folders that
stand beside it in the checkout and are installed inside it."""

from setuptools import find_namespace_packages, setup

BESIDE = {
    "ltbench.methods": "methods",
    "ltbench.baselines": "baselines",
    "ltbench.published": "results/published",
}

setup(
    packages=[*find_namespace_packages(include=["ltbench", "ltbench.*"]), *BESIDE],
    package_dir={"ltbench": "ltbench", **BESIDE},
)
