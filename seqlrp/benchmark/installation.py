"""Tells what seqlrp runs on here, and whether each kernel agrees with the readable reference."""

from __future__ import annotations

import copy
import importlib.metadata
import math
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch

from seqlrp.benchmark.cells import Cell, Kind
from seqlrp.benchmark.contenders import Contender, classifier, random_ids, synced
from seqlrp.benchmark.timing import Clock, time_interleaved
from seqlrp.errors import SeqlrpError
from seqlrp.lrp import LRP, kernel_on
from seqlrp.methods.gradients.gradient import GradientXInput

PACKAGES = ("seqlrp", "torch", "numpy", "numba", "triton", "pandas", "spacy", "datasets")
TOLERANCE = 1e-4  # of the largest relevance; float32 reaches about 1e-6
BATCH, LENGTH, HIDDEN = 32, 40, 64
SECONDS = 0.3

Implementation = Literal["auto", "torch"]


@dataclass(frozen=True)
class KernelCheck:
    """One kernel on one device.

    Attributes:
        device: "cpu", "cuda:0" and so on.
        kind: "lstm" or "gru".
        impl: the option `impl` of `LRP`: "auto" or "torch".
        kernel: what that option chose: "compiled", "triton" or "torch".
        error: the largest difference from the float64 reference, in units of the largest
            relevance; None where the kernel did not run.
        ratio: its time divided by that of gradient × input in the same run.
        failure: why it did not run, or "".
    """

    device: str
    kind: Kind
    impl: Implementation
    kernel: str
    error: float | None
    ratio: float | None
    failure: str = ""

    @property
    def agrees(self) -> bool:
        """Whether it ran and equals the reference."""
        return self.error is not None and self.error <= TOLERANCE


@dataclass(frozen=True)
class Diagnosis:
    """Versions, devices and kernels; made by `diagnose`.

    Attributes:
        versions: of Python and of each package, "not installed" where one is absent.
        devices: the name of each device.
        threads: torch uses so many on the CPU.
        kernels: a check for each device, kind of layer and kernel.
    """

    versions: dict[str, str]
    devices: dict[str, str]
    threads: int
    kernels: tuple[KernelCheck, ...]

    @property
    def healthy(self) -> bool:
        """Whether every kernel agrees with the reference."""
        return all(check.agrees for check in self.kernels)

    def to_dict(self) -> dict[str, Any]:
        """All of it in lists, dictionaries, strings and numbers, for JSON."""
        return asdict(self) | {"healthy": self.healthy}

    def summary(self) -> str:
        """Describe it in lines of text."""
        lines = [f"{name:<10} {version}" for name, version in self.versions.items()]
        lines += [f"{name:<10} {device}" for name, device in self.devices.items()]
        lines += [f"{'threads':<10} {self.threads} of {os.cpu_count()} processors", ""]
        lines.append("device   layer  impl   kernel    error    time ÷ gradient × input")
        for check in self.kernels:
            line = f"{check.device:<8} {check.kind:<6} {check.impl:<6} {check.kernel:<9} "
            if check.error is None:
                lines.append(f"{line}does not run: {check.failure}")
                continue
            verdict = "" if check.agrees else "   DIFFERS FROM THE REFERENCE"
            lines.append(f"{line}{check.error:<8.1g} {check.ratio:.2f}{verdict}")
        lines += ["", self._verdict()]
        return "\n".join(lines)

    def _verdict(self) -> str:
        if self.healthy:
            return "Every kernel agrees with the reference."
        return (
            "Not every kernel agrees with the reference. Use LRP(model, impl='reference') until it "
            "is mended, and please report what stands above."
        )


def diagnose(*, clock: Clock = time.perf_counter) -> Diagnosis:
    """Check every kernel against the reference on every device, and time it.

    Takes a few seconds. Networks have random weights; the random state of torch is unchanged.

    Args:
        clock: gives seconds.
    """
    devices = {"cpu": processor()}
    for number in range(torch.cuda.device_count()):
        devices[f"cuda:{number}"] = torch.cuda.get_device_name(number)
    impls: tuple[Implementation, ...] = ("auto", "torch")
    kinds: tuple[Kind, ...] = ("lstm", "gru")
    checks = (_check(d, kind, impl, clock) for d in devices for kind in kinds for impl in impls)
    return Diagnosis(installed_versions(PACKAGES), devices, torch.get_num_threads(), tuple(checks))


def _check(device: str, kind: Kind, impl: Implementation, clock: Clock) -> KernelCheck:
    """Compare relevance with the reference in float64 on the CPU, and time it."""
    cell = Cell("speed", kind, 2, HIDDEN, LENGTH, BATCH, device=device, packed=True)
    there = replace(cell, device="cpu")
    exact = LRP(classifier(there).double(), impl="reference")
    truth = exact.attribute(random_ids(there, LENGTH), target=0)
    try:
        model, ids = classifier(cell), random_ids(cell, LENGTH)
        lrp, gradient = LRP(model, impl=impl), GradientXInput(copy.deepcopy(model))
        running = {
            "gradient": Contender(synced(lambda: gradient.attribute(ids, target=0), cell), 1),
            "lrp": Contender(synced(lambda: lrp.attribute(ids, target=0), cell), 1),
        }
        found = time_interleaved(running, seconds=SECONDS, limit=math.inf, clock=clock, seed=0)
        result = found["lrp"].result
        assert result is not None
    except (SeqlrpError, RuntimeError) as error:  # a device that is full or lost
        said = str(error).splitlines() or [type(error).__name__]
        return KernelCheck(device, kind, impl, "", None, None, said[0])
    difference = (result.cpu().double() - truth).abs().max() / truth.abs().max()
    ratio = median(found["lrp"].seconds) / median(found["gradient"].seconds)
    kernel = kernel_on(device, kind, impl)
    return KernelCheck(device, kind, impl, kernel, float(difference), ratio)


def installed_versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of Python and of packages, "not installed" where one is absent."""
    versions = {"Python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "from a clone" if package == "seqlrp" else "not installed"
    return versions


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor()])[0] or platform.machine()
