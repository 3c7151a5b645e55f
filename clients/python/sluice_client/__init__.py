"""Client of the Sluice daemon: submits runs and patches, watches them, steers them."""
from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional

from . import models
from .actions import BreakersActions, PatchesActions, RunsActions, TargetsActions, TasksActions, WorkersActions
from .transport import Resource, SluiceError, Transport, quote

__all__ = ["SluiceClient", "SluiceError", "models"]


class Runs(RunsActions):
    def submit(self, spec: Mapping[str, Any], *, idempotency_key: Optional[str] = None) -> models.Run:
        """Submits a run spec. The same key and spec return the same run."""
        return self._transport.json("POST", "/v1/runs", body=spec, idempotency_key=idempotency_key)

    def get(self, id: str, *, expand: str = "") -> models.ExpandedRun:
        """One run; `expand="workstreams,tasks,patches,gates"` includes these objects."""
        return self._transport.json("GET", f"/v1/runs/{quote(id)}", query={"expand": expand})

    def all(
        self, *, state: Optional[str] = None, outcome: Optional[str] = None, label: Optional[str] = None
    ) -> Iterator[models.Run]:
        """Runs, newest first, page after page."""
        return self._pages("/v1/runs", {"state": state, "outcome": outcome, "label": label})

    def wait(self, id: str, *, timeout_seconds: Optional[float] = None) -> models.Run:
        """Returns the run when it has ended, or as it is after the time."""
        return self._until_ended(f"/v1/runs/{quote(id)}/wait", timeout_seconds)["run"]

    def watch(self, id: str) -> Iterator[models.Event]:
        """Yields the state transitions of a run from its start until it has ended."""
        for event in self._transport.events(f"/v1/runs/{quote(id)}/events"):
            yield event
            if event["kind"] == "run" and event["to_state"] in ("COMPLETED", "FAILED"):
                return

    def delete(self, id: str) -> None:
        self._transport.json("DELETE", f"/v1/runs/{quote(id)}")


class Tasks(TasksActions):
    def get(self, id: str) -> models.WholeTask:
        return self._transport.json("GET", f"/v1/tasks/{quote(id)}")

    def all(
        self, *, run: Optional[str] = None, state: Optional[str] = None, tool: Optional[str] = None
    ) -> Iterator[models.Task]:
        return self._pages("/v1/tasks", {"run": run, "state": state, "tool": tool})

    def logs(self, id: str, *, follow: bool = False) -> Iterator[models.LogChunk]:
        """Yields the output of the tool; with `follow`, until the task has ended."""
        path = f"/v1/tasks/{quote(id)}/logs"
        if follow:
            yield from self._transport.events(path, query={"follow": True})
            return
        after: Optional[str] = "0"
        while after is not None:
            page = self._transport.json("GET", path, query={"after": after})
            yield from page["items"]
            after = page["next_cursor"]


class Patches(PatchesActions):
    def submit(self, patch: Mapping[str, Any], *, idempotency_key: Optional[str] = None) -> models.SubmittedPatch:
        """Submits one ready-made change."""
        return self._transport.json("POST", "/v1/patches", body=patch, idempotency_key=idempotency_key)

    def get(self, id: str) -> models.Patch:
        return self._transport.json("GET", f"/v1/patches/{quote(id)}")

    def all(
        self, *, run: Optional[str] = None, task: Optional[str] = None, state: Optional[str] = None
    ) -> Iterator[models.Patch]:
        return self._pages("/v1/patches", {"run": run, "task": task, "state": state})

    def wait(self, id: str, *, timeout_seconds: Optional[float] = None) -> models.Patch:
        """Returns the patch when it has landed or was stopped, or as it is after the time."""
        return self._until_ended(f"/v1/patches/{quote(id)}/wait", timeout_seconds)["patch"]

    def diff(self, id: str) -> bytes:
        return self._transport.bytes(f"/v1/patches/{quote(id)}/diff")


class Targets(TargetsActions):
    def get(self, id: str) -> models.QueuedTarget:
        """A branch with its landing queue; the id is as in `app@main`."""
        return self._transport.json("GET", f"/v1/targets/{quote(id)}")

    def all(self) -> Iterator[models.Target]:
        return self._pages("/v1/targets", {})


class Workers(WorkersActions):
    def all(self, *, state: Optional[str] = None) -> Iterator[models.Worker]:
        return self._pages("/v1/workers", {"state": state})


class Breakers(BreakersActions):
    def all(self) -> Iterator[models.Breaker]:
        return self._pages("/v1/breakers", {})


class SluiceClient(Resource):
    """A client of one daemon. `retries`: times that a call is repeated which may be made twice."""

    def __init__(self, url: str = "http://127.0.0.1:7411", token: Optional[str] = None, *, retries: int = 3) -> None:
        super().__init__(Transport(url, token, retries))
        self.runs = Runs(self._transport)
        self.tasks = Tasks(self._transport)
        self.patches = Patches(self._transport)
        self.targets = Targets(self._transport)
        self.workers = Workers(self._transport)
        self.breakers = Breakers(self._transport)

    def explain(self, id: str) -> models.Explanation:
        """Why an object is in its state, and when that changes."""
        return self._transport.json("GET", f"/v1/explain/{quote(id)}")

    def stats(self) -> models.Statistics:
        return self._transport.json("GET", "/v1/stats")
