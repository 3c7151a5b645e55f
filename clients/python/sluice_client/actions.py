# Made from src/contract by `npm run docs`. Do not edit.
from __future__ import annotations

from typing import Optional

from .models import Breaker, Patch, Run, Target, Task, Worker
from .transport import Resource


class RunsActions(Resource):
    def pause(self, id: str, *, reason: Optional[str] = None) -> Run:
        """Stops dispatching tasks of the run. Running tasks finish, and staged patches still land."""
        return self._act("runs", id, "pause", reason=reason)

    def resume(self, id: str, *, reason: Optional[str] = None) -> Run:
        """Continues a paused run."""
        return self._act("runs", id, "resume", reason=reason)

    def cancel(self, id: str, *, reason: Optional[str] = None) -> Run:
        """Cancels the run with all its tasks and patches that have not ended."""
        return self._act("runs", id, "cancel", reason=reason)

    def retry(self, id: str, *, reason: str) -> Run:
        """Runs every failed task of the run again with its full number of retries. Earlier attempts stay on record."""
        return self._act("runs", id, "retry", reason=reason)

    def budget(self, id: str, *, usd: float, reason: str) -> Run:
        """Sets the total that the run may cost. Tasks that waited for the budget may start."""
        return self._act("runs", id, "budget", usd=usd, reason=reason)


class TasksActions(Resource):
    def cancel(self, id: str, *, reason: Optional[str] = None) -> Task:
        """Cancels the task and the tasks that depend on it."""
        return self._act("tasks", id, "cancel", reason=reason)

    def retry(self, id: str, *, reason: str) -> Task:
        """Runs a failed or cancelled task again with its full number of retries. Earlier attempts stay on record."""
        return self._act("tasks", id, "retry", reason=reason)

    def budget(self, id: str, *, usd: float, reason: str) -> Task:
        """Sets the total that all attempts of the task may cost."""
        return self._act("tasks", id, "budget", usd=usd, reason=reason)


class PatchesActions(Resource):
    def approve(self, id: str, *, reason: str) -> Patch:
        """Approves exactly this content: protected paths, limits and the second proof of pinned files no longer stop it."""
        return self._act("patches", id, "approve", reason=reason)

    def requeue(self, id: str, *, reason: str) -> Patch:
        """Puts a blocked patch back in the landing queue. Earlier failures with it no longer count."""
        return self._act("patches", id, "requeue", reason=reason)

    def drop(self, id: str, *, reason: str) -> Patch:
        """Withdraws a patch that has not landed. Its task fails."""
        return self._act("patches", id, "drop", reason=reason)

    def prioritize(self, id: str, *, priority: int, reason: str) -> Patch:
        """Sets the priority of a waiting patch: higher lands first. Its verdicts stay valid."""
        return self._act("patches", id, "prioritize", priority=priority, reason=reason)

    def rollback(self, id: str, *, reason: str) -> Run:
        """Submits a run that reverts a landed patch, ahead of the landing queue and through the same gates."""
        return self._act("patches", id, "rollback", reason=reason)


class TargetsActions(Resource):
    def pause(self, id: str, *, reason: str) -> Target:
        """Stops landing on the target. Gates still run."""
        return self._act("targets", id, "pause", reason=reason)

    def resume(self, id: str, *, reason: str) -> Target:
        """Resumes landing on the target. Patches that were removed from the branch are recorded as rolled back."""
        return self._act("targets", id, "resume", reason=reason)


class WorkersActions(Resource):
    def drain(self, id: str, *, reason: str) -> Worker:
        """Stops the worker from taking work. It finishes what it holds, or hands it back when its drain time is over, and ends."""
        return self._act("workers", id, "drain", reason=reason)


class BreakersActions(Resource):
    def trip(self, id: str, *, reason: str) -> Breaker:
        """Stops the tool fleet-wide until an operator resets it. Its tasks wait and use up no retry."""
        return self._act("breakers", id, "trip", reason=reason)

    def reset(self, id: str, *, reason: str) -> Breaker:
        """Closes the breaker of the tool and sets its count of faults to 0."""
        return self._act("breakers", id, "reset", reason=reason)
