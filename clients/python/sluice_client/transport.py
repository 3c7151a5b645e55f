"""Requests to one daemon, on the standard library alone."""
from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Iterator, Mapping, Optional

_WAIT_AT_ONCE_SECONDS = 30
_RECONNECTS = 60


class SluiceError(Exception):
    """An error of the API, or `daemon.unreachable` when no daemon answers. Match `code`, never the text."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: Optional[int] = None,
        retryable: bool = False,
        errors: Optional[list[dict[str, str]]] = None,
        facts: Optional[dict[str, Any]] = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = status
        self.retryable = retryable
        self.errors = errors or []
        self.facts = facts or {}


class Transport:
    def __init__(self, url: str, token: Optional[str], retries: int) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._retries = retries

    def json(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Any = None,
        idempotency_key: Optional[str] = None,
        timeout: float = 60,
    ) -> Any:
        """Returns the answer. Reads, and submissions with a key, are repeated after a passing failure."""
        headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        may_repeat = method == "GET" or idempotency_key is not None
        tries = 0
        while True:
            tries += 1
            try:
                with self._open(method, path, query=query, body=body, headers=headers, timeout=timeout) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except SluiceError as error:
                if not (error.retryable and may_repeat and tries <= self._retries):
                    raise
                time.sleep(random.uniform(0, min(2.0, 0.2 * 2**tries)))

    def bytes(self, path: str) -> bytes:
        with self._open("GET", path) as answer:
            return answer.read()

    def events(self, path: str, *, query: Optional[Mapping[str, Any]] = None) -> Iterator[Any]:
        """Yields server-sent events. Reconnects after a cut and resumes after the last event."""
        last_id: Optional[str] = None
        cuts = 0
        while True:
            headers = {"accept": "text/event-stream"}
            if last_id is not None:
                headers["last-event-id"] = last_id
            try:
                with self._open("GET", path, query=query, headers=headers, timeout=90) as answer:
                    for event_id, data in _messages(answer):
                        last_id = event_id or last_id
                        cuts = 0
                        yield json.loads(data)
                return
            except (OSError, SluiceError) as error:
                passes = not isinstance(error, SluiceError) or error.retryable
                cuts += 1
                if not passes or last_id is None or cuts > _RECONNECTS:
                    raise
                time.sleep(random.uniform(0, min(5.0, 0.2 * 2**cuts)))

    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Any = None,
        headers: Optional[Mapping[str, str]] = None,
        timeout: float = 60,
    ) -> Any:
        sent = {key: _text(value) for key, value in (query or {}).items() if value is not None}
        url = f"{self._url}{path}" + (f"?{urllib.parse.urlencode(sent)}" if sent else "")
        request = urllib.request.Request(url, method=method, headers=dict(headers or {}))
        if self._token is not None:
            request.add_header("authorization", f"Bearer {self._token}")
        if body is not None:
            request.add_header("content-type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            return urllib.request.urlopen(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            raise _problem(error) from None
        except OSError as error:
            raise SluiceError("daemon.unreachable", f"no daemon answers at {self._url}", retryable=True) from error


class Resource:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _act(self, collection: str, id: str, action: str, **body: Any) -> Any:
        given = {key: value for key, value in body.items() if value is not None}
        return self._transport.json("POST", f"/v1/{collection}/{quote(id)}/{action}", body=given)

    def _pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Any]:
        cursor: Optional[str] = None
        while True:
            page = self._transport.json("GET", path, query={**query, "cursor": cursor})
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _until_ended(self, path: str, timeout_seconds: Optional[float]) -> Any:
        ends_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            left = _WAIT_AT_ONCE_SECONDS if ends_at is None else max(0, ends_at - time.monotonic())
            query = {"timeout_seconds": int(min(_WAIT_AT_ONCE_SECONDS, left))}
            waited = self._transport.json("GET", path, query=query)
            if waited["ended"] or (ends_at is not None and time.monotonic() >= ends_at):
                return waited


def quote(id: str) -> str:
    return urllib.parse.quote(id, safe="")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _messages(answer: Any) -> Iterator[tuple[str, str]]:
    event_id, data = "", []
    for raw in answer:
        line = raw.decode().rstrip("\r\n")
        if line == "":
            if data:
                yield event_id, "\n".join(data)
            event_id, data = "", []
        elif line.startswith("id:"):
            event_id = line[3:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))


def _problem(error: urllib.error.HTTPError) -> SluiceError:
    try:
        problem = json.loads(error.read())
    except ValueError:
        problem = {}
    return SluiceError(
        problem.get("code", "internal.error"),
        problem.get("detail", f"the daemon answered {error.code}"),
        status=error.code,
        retryable=problem.get("retryable", False),
        errors=problem.get("errors"),
        facts=problem.get("facts"),
    )
