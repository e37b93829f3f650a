"""Does everything work here? Machine, libraries, store, and one training step in each backend."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import threadpoolctl  # type: ignore[import-untyped]
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from harness.checks import CheckResult
from harness.checks.problem import N_ROWS, SMALL, CheckFailed, Unsupported, compare
from harness.contract import vary
from harness.execution.executor import LocalExecutor
from harness.manifest import Backend
from harness.registry import load_trainer
from harness.storage.opening import EmptyStore
from harness.storage.store import Store, shown, store_url
from harness.support.environment import harness_version, machine, numpy_version
from harness.support.errors import NotInstalled, RequestError, describe

STEP_SECONDS = 120.0  # of which a cold import of TensorFlow on a slow disk takes most

Verdict = Literal["ok", "differs", "unsupported", "not_installed", "timeout", "crashed"]
FAULTS = ("differs", "timeout", "crashed")


@dataclass(frozen=True)
class Tried:
    """How one training step went in one backend; `told` is what was measured, or the reason and what to do."""

    backend: str
    version: str
    verdict: Verdict
    told: str


@dataclass(frozen=True)
class StorePlace:
    """Where results go, and why they cannot (`fault`). A server has no path."""

    url: str
    path: Path | None
    exists: bool
    experiments: int
    free_bytes: int | None
    fault: str | None


def environment() -> dict[str, str]:
    """Versions, machine, and the libraries that multiply matrices with their threads."""
    libraries = [
        f"{found['internal_api']} {found['version']}, {found.get('architecture', 'unknown architecture')}, "
        f"{found['num_threads']} threads here"
        for found in threadpoolctl.threadpool_info()
        if found["user_api"] == "blas"
    ]
    blas = "; ".join(dict.fromkeys(libraries)) or "unknown"
    return {"harness": harness_version(), "NumPy": numpy_version(), "BLAS": blas, **machine()}


def try_backends(chosen: list[Backend], seconds: float = STEP_SECONDS) -> Iterator[Tried]:
    """One training step in each, in a process of its own with a time limit, several at once; in the order of `chosen`.

    A framework's own fault, even one that kills its process, is a verdict and no exception.
    """
    at_once = os.cpu_count() or 1
    with LocalExecutor() as executor:
        futures: dict[str, Future[CheckResult]] = {}
        for number, backend in enumerate(chosen):
            for near in chosen[: number + at_once]:
                if near.name not in futures and near.missing() is None:
                    future = executor.submit(near.name, None, one_step, near.trainer, timeout=seconds)
                    futures[near.name] = future
            if backend.name in futures:
                verdict, told = _verdict(futures[backend.name], backend, seconds)
            else:
                verdict, told = "not_installed", str(backend.missing())
            yield Tried(backend.name, backend.version(), verdict, told)


def one_step(trainer: str) -> CheckResult:
    """In a worker: one full-batch step of the small problem of `harness check`, against the reference."""
    trainer_class = load_trainer(trainer)
    try:
        told = compare(trainer_class, vary(SMALL, epochs=1, batch_size=N_ROWS))
        return CheckResult("one_step", "passed", told)
    except Unsupported as reason:
        return CheckResult("one_step", "unsupported", str(reason))
    except CheckFailed as failure:
        return CheckResult("one_step", "failed", str(failure))


def _verdict(future: Future[CheckResult], backend: Backend, seconds: float) -> tuple[Verdict, str]:
    again = f"reinstall it, or leave it out with --backends; all checks: harness check {backend.name}"
    error = future.exception()
    if isinstance(error, NotInstalled):
        return "not_installed", str(error)
    if isinstance(error, TimeoutError):
        return "timeout", f"no step within {seconds:g} s; {again}"
    if error is not None:
        return "crashed", f"{describe(error)}; {again}"
    result = future.result()
    if result.status == "failed":
        return "differs", f"{result.message}; see: harness check {backend.name}"
    return ("ok" if result.status == "passed" else "unsupported"), result.message


def look_at_store(url: str) -> StorePlace:
    """Whether results can be kept at this URL, or in this file. Nothing is made that is not there."""
    try:
        url = store_url(url)
    except RequestError as error:
        return StorePlace("…", None, False, 0, None, str(error))
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite":
        count, fault = _experiments(url)
        return StorePlace(shown(url), None, fault is None, count, None, fault)
    path = Path(parsed.database or "").absolute()
    folder = next(place for place in path.parents if place.is_dir())  # the default's folder is made by `harness run`
    free = shutil.disk_usage(folder).free
    count, fault = _experiments(url) if path.exists() else (0, None)
    return StorePlace(shown(url), path, path.exists(), count, free, fault or _not_writable(path, folder))


def _experiments(url: str) -> tuple[int, str | None]:
    """How many the store holds, and why it cannot be opened."""
    try:
        opened = Store(url, must_exist=True, upgrade=False)
    except EmptyStore as error:
        return 0, str(error) if make_url(url).get_backend_name() == "sqlite" else None
    except RequestError as error:
        return 0, str(error)
    try:
        return len(opened.experiment_names()), None
    finally:
        opened.close()


def _not_writable(path: Path, folder: Path) -> str | None:
    if path.exists() and not os.access(path, os.W_OK):
        return f"{path} is read-only; change its permissions, or give another store with --store FILE.db"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror}; run in another folder, or give --store FILE.db"
