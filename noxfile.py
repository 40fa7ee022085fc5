"""The tasks of a contributor: `nox -l` lists them, `nox -s tests` runs one.

Every session makes a virtual environment of its own; `nox -R -s tests` uses the last one again.
"""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
PYTHON = ["3.11", "3.12", "3.13", "3.14"]
ON_ALL_CORES = ("-n", "auto", "--dist", "worksteal")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format."""
    session.install("ruff~=0.17.5")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Static types, in strict mode."""
    session.install("-e", ".[demo,test]")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """The default tests, or what is named after `--`."""
    session.install("-e", ".[demo,test]")
    session.run("pytest", *ON_ALL_CORES, *session.posargs)


@nox.session(name="tests-all-pythons", python=PYTHON)
def tests_all_pythons(session: nox.Session) -> None:
    """The default tests on every Python that is supported and installed."""
    session.install("-e", ".[demo,test]")
    session.run("pytest", *ON_ALL_CORES, *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """The tests that take longer, and properties on all their examples."""
    session.install("-e", ".[demo,test]")
    measured = ("tests/benchmark", "tests/benchmarks")  # ratios of times: nothing runs beside them
    # A cluster of Ray needs the cores, too, and has a session of its own.
    ignored = [f"--ignore={path}" for path in (*measured, "tests/scale/test_ray.py")]
    chosen = ("-m", "slow or hypothesis", "--hypothesis-profile=thorough")
    session.run("pytest", *chosen, *ON_ALL_CORES, *ignored, *session.posargs)
    session.run("pytest", *chosen, *measured, *session.posargs)


@nox.session
def ray(session: nox.Session) -> None:
    """Workers on Ray, any of which is killed, and the class in Ray Data."""
    session.install("-e", ".[demo,test,ray]", "ray[data]")
    session.run("pytest", "-m", "slow", "tests/scale/test_ray.py", *session.posargs)


@nox.session
def spark(session: nox.Session) -> None:
    """The class in Spark, which needs Java."""
    session.install("-e", ".[demo,test]", "pyspark")
    session.run("pytest", "-m", "slow", "tests/scale/test_pipeline.py", *session.posargs)


@nox.session
def readers(session: nox.Session) -> None:
    """The class in Dask, and folders of explanations in DuckDB and Polars."""
    session.install("-e", ".[demo,test]", "dask[dataframe]", "duckdb", "polars")
    files = [f"tests/scale/test_{name}.py" for name in ("pipeline", "readers")]
    session.run("pytest", *files, *session.posargs)


@nox.session
def toolkits(session: nox.Session) -> None:
    """Comparison with zennit and LXT; their rules need none of their dependencies."""
    session.install("-e", ".[demo,test]")
    session.install("--no-deps", "zennit", "lxt", "tabulate")
    session.run("pytest", "tests/lrp/test_other_toolkits.py")


@nox.session
def blocks(session: nox.Session) -> None:
    """Recurrent blocks of published packages; their plain paths need few of their dependencies."""
    session.install("-e", ".[demo,test]")
    packages = ("xlstm", "mambapy", "minGRU-pytorch")
    session.install("--no-deps", *packages, "einops", "omegaconf", "dacite")
    session.run("pytest", "tests/lrp/test_published_blocks.py")


@nox.session
def coverage(session: nox.Session) -> None:
    """Which lines the default tests run."""
    session.install("-e", ".[demo,test]", "coverage[toml]")
    session.run("coverage", "run", "-m", "pytest", "-p", "no:xdist", *session.posargs)
    session.run("coverage", "report", "--skip-covered", "--sort=cover")


@nox.session
def docs(session: nox.Session) -> None:
    """The site; a broken link or a docstring that cannot be read is an error."""
    session.install("-e", ".[docs]")
    target = session.posargs or ["--site-dir", session.create_tmp()]
    session.run("mkdocs", "build", "--strict", *target, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def structure(session: nox.Session) -> None:
    """The values of the structure: import circles, long functions, lines."""
    session.run("python", "tests/structure.py")
