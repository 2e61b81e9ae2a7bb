"""The engine `ray`: the same work on the machines of a Ray cluster.

One actor a worker, not Ray Data: work is resumable part by part, its tasks come as a stream that is
read here, and a part that kills its process twice must become a record with its reason. Ray Data
takes in all items before it starts, hands over whole blocks, and repeats a task that kills its
process. An actor streams each result back as it comes; one that dies, or whose machine does, loses
the part that it was at, and that one runs again elsewhere.

What a task reads travels by name where the worker finds the same file, else as its bytes, so no
machine needs the folder. Every machine needs sightline and its libraries in the versions of this
one.
"""

import importlib
import os
import pickle
import queue
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadField, FileProblem, MissingExtra
from .pool import (
    CannotLoad,
    Messages,
    Pool,
    Unsendable,
    Worker,
    WorkerDied,
    WorkerMessage,
)
from .time_limit import limit_of
from .work import Take, Task, Work, readable, results, unpack

_ANSWER = 10.0  # seconds for the head of a cluster to answer
_LONGEST = 200  # characters of a reason of Ray's, which come in paragraphs


@dataclass(frozen=True, kw_only=True)
class RayRunner:
    """Computes on a Ray cluster. address: of its head, `host:port`; None is the cluster that is
    there (RAY_ADDRESS, or one of this machine), else one that is started here. workers: actors;
    None is one for each core of the cluster, or for each GPU where the model is on one.
    time_limit: seconds after which a part is given up; None is half an hour.
    """

    address: str | None = None
    workers: int | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        limit_of(self.time_limit)
        _ray()

    def run(self, work: Work, tasks: Iterable[Task], count: int | None, take: Take) -> None:
        """Computes all tasks, and hands over each result as it comes.

        Raises: BadField where no cluster answers, NotExplainable for work that cannot be sent,
        MissingExtra where its machines lack sightline, FileProblem where the cluster goes away.
        """
        first = next(tasks := iter(tasks), None)
        if first is None:  # all is finished: no cluster is needed
            return
        parcel, ray = work.parcel(), _ray()
        with _connected(self.address):
            want = {"num_gpus": 1} if work.device == "cuda" else {"num_cpus": 1}
            room = int(ray.cluster_resources().get("GPU" if "num_gpus" in want else "CPU", 0))
            workers = self.workers or min(room, sys.maxsize if count is None else count)
            stored = ray.put(parcel)
            start = lambda messages: _Actor(stored, want, messages)  # noqa: E731
            pool = Pool(work, start, take, limit_of(self.time_limit))
            try:
                pool.run(_chained(first, tasks), max(1, workers))
            except Unsendable as refused:
                raise MissingExtra(
                    f"no worker of the Ray cluster could start ({refused.why}); every machine needs"
                    " sightline and its libraries in the versions of this one. What is finished is"
                    " kept."
                ) from None
            except ray.exceptions.RayError as error:
                raise FileProblem(
                    f"the Ray cluster went away ({_brief(error)}). Everything finished is kept;"
                    " start the same run again."
                ) from None


def _ray() -> Any:  # a module
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise MissingExtra(
            "the engine `ray` needs Ray, which is not installed: `pip install 'sightline[ray]'`;"
            " `local` needs nothing more."
        ) from None
    return ray


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """The cluster while it lasts; a connection that was there before stays."""
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError, ray.exceptions.RayError) as error:
        if _wants_token(error):
            raise BadField(
                f"the Ray cluster at {address or 'the usual place'} asks for authentication"
                f" ({_brief(error)}); set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN (or"
                " RAY_AUTH_TOKEN_PATH) to the token of its head."
            ) from None
        raise BadField(
            f"no Ray cluster answers at {address or 'the usual place'} ({_brief(error)}); start one"
            " with `ray start --head` and give its address, host:port."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _wants_token(error: Exception) -> bool:
    """Whether a cluster is there and lets only those in who have its token."""
    kind = getattr(_ray().exceptions, "AuthenticationError", ())
    words = ("unauthenticated", "authentication", "auth token", "invalidauthtoken")
    return isinstance(error, kind) or any(word in str(error).lower() for word in words)


def _knock(address: str | None) -> None:
    """Raises: OSError where nobody listens at `host:port`, an error of Ray's where a token is
    wanted; Ray itself would try for minutes, and not say what is wrong."""
    address = address or os.environ.get("RAY_ADDRESS", "")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        return
    socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()
    try:
        importlib.import_module("ray._raylet").GcsClient(address=address)
    except Exception as error:  # other versions of Ray; whatever else it is, connecting says it
        if _wants_token(error):
            raise


def _chained(first: Task, tasks: Iterator[Task]) -> Iterator[Task]:
    yield first
    yield from tasks


class _RemoteWork:
    """The part of a worker that lives on the cluster."""

    def __init__(self, parcel: bytes, folder: str) -> None:
        with suppress(OSError):  # names without a folder are meant from there
            os.chdir(folder)
        self.work = unpack(parcel)
        self.state = self.work.ready()
        self.state.__enter__()  # for as long as this process lives

    def here(self) -> None:
        """Answers once the work is loaded."""

    def compute(self, packed: bytes, check: bool) -> Iterator[bytes | None]:
        """What the work gives for a task, one after another; None where the task's files are not
        here. check: whether to look for them."""
        task = pickle.loads(packed)
        if check and not readable(task.files()):
            yield None
            return
        for what in results(self.work, task):
            yield pickle.dumps(what)


class _Actor(Worker):
    """A worker on the cluster, and the thread that listens to it. elsewhere: folders whose files it
    cannot read."""

    def __init__(self, parcel: Any, want: dict[str, int], messages: Messages) -> None:
        super().__init__()
        self.messages, self.tasks = messages, queue.SimpleQueue[Task | None]()
        self.elsewhere: set[Path] = set()
        path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        both = f"{path}{os.pathsep}${{PYTHONPATH}}"  # Ray puts in what the machine has
        given = {"env_vars": {"PYTHONPATH": both, "OMP_NUM_THREADS": "1"}}
        actor = _ray().remote(_RemoteWork).options(**want, max_restarts=0, runtime_env=given)
        self.remote = actor.remote(parcel, str(Path.cwd()))
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, task: Task) -> None:
        self.tasks.put(task)

    def stop(self) -> str:
        self.tasks.put(None)
        with suppress(Exception):  # it is gone already, or the cluster is
            _ray().kill(self.remote)
        return ""

    def _listen(self) -> None:
        ray = _ray()
        try:
            ray.get(self.remote.here.remote())
            self._report(None)
            while (task := self.tasks.get()) is not None:
                folders = {path.parent for path in task.files()}
                known = self.elsewhere.isdisjoint(folders)
                if not known or not self._compute(task, check=bool(folders)):
                    self.elsewhere |= folders
                    self._compute(task.with_bytes(), check=False)
                self._report(None)
        except ray.exceptions.RayTaskError as error:
            self._report(CannotLoad(why=_brief(error)))
        except Exception as error:  # the actor, its machine or the cluster is gone
            self._report(WorkerDied(why=_brief(error)))

    def _compute(self, task: Task, check: bool) -> bool:
        """Reports what the worker gives for a task; False where the task's files are not there."""
        streaming = self.remote.compute.options(num_returns="streaming")
        for answer in streaming.remote(pickle.dumps(task), check):
            packed = _ray().get(answer)
            if packed is None:
                return False
            self._report(pickle.loads(packed))
        return True

    def _report(self, what: Any) -> None:
        self.messages.put(WorkerMessage(worker=self, what=what))


def _brief(error: BaseException) -> str:
    """The telling line of one of Ray's reports."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    traced = any(line.startswith(("File ", "Traceback")) for line in lines)
    line = "" if not lines else lines[-1] if traced else lines[0]
    return (line or type(error).__name__)[:_LONGEST].rstrip(" .")
