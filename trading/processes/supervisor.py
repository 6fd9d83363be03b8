"""Starts the floor's processes in order, restarts what dies, ends all of them in reverse order."""

import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from trading.adapters.embedded.postgres import last_line
from trading.adapters.embedded.spawn import spawn
from trading.domain.errors import TradefloorError
from trading.processes import logs, status, strays
from trading.processes.status import FloorView, ProcessView
from trading.processes.table import HEALTHY_AFTER_S, Birth, ProcessSpec, State, backoff_s
from trading.services.ports.clock import Clock

TICK_S = 0.1
BEAT_S = 2.0
LOOK_S = 0.2
LISTEN_S = 4.0
ROTATE_S = 10.0


@dataclass(slots=True)
class Managed:
    """A process under supervision. Times in seconds of the supervisor's clock."""

    spec: ProcessSpec
    log: Path
    state: State = State.WAITING
    child: "subprocess.Popen[bytes] | None" = None
    identity: strays.Child | None = None
    started_at: str | None = None
    born_s: float = 0.0
    ready_s: float = 0.0
    next_start_s: float = 0.0
    next_look_s: float = 0.0
    silent_s: float = 0.0
    failures: int = 0
    restarts: int = 0
    last_exit: str = ""

    def view(self) -> ProcessView:
        """Its line of the status."""
        pid = self.child.pid if self.child is not None and self.child.poll() is None else None
        return ProcessView(
            self.spec.name, str(self.state), pid, self.started_at, self.restarts, self.last_exit, self.spec.address
        )

    @property
    def settled(self) -> bool:
        """Whether those that need it may start; a background step that failed holds nobody up."""
        return self.state in (State.RUNNING, State.DONE) or (self.spec.background and self.state is State.FAILED)


@dataclass(slots=True)
class Supervisor:
    """One open floor.

    ``on_change`` hears of every change of state, ``on_beat`` gets all views every 2 s, ``on_open`` once when everything
    has come up or has failed at least once, ``before_servants_stop`` is the last moment with a database.
    """

    specs: Sequence[ProcessSpec]
    run_dir: Path
    log_dir: Path
    clock: Clock
    on_change: Callable[[Managed], None]
    on_beat: Callable[[Sequence[ProcessView]], None]
    on_open: Callable[[Sequence[ProcessView]], None]
    before_servants_stop: Callable[[], None]
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    managed: dict[str, Managed] = field(default_factory=dict)
    failure: str = ""
    opened: bool = False
    stop_requests: int = 0
    _guard: "subprocess.Popen[bytes] | None" = None
    _wake: socket.socket | None = None

    def run(self) -> int:
        """Keep the floor open until a stop signal; returns 0, or 1 where a vital process failed to start."""
        self.managed = {spec.name: Managed(spec, self.log_dir / f"{spec.name}.log") for spec in self.specs}
        strays.sweep(*strays.recorded(self.run_dir))
        self._listen()
        strays.record(self.run_dir, self.token, [])
        next_beat_s = next_rotation_s = 0.0
        try:
            while not self.stop_requests and not self.failure:
                now_s = time.monotonic()
                changed = self._step(now_s)
                if changed or now_s >= next_beat_s:
                    self._beat()
                    next_beat_s = now_s + BEAT_S
                if now_s >= next_rotation_s:
                    logs.rotate(self.log_dir)
                    next_rotation_s = now_s + ROTATE_S
                if not self.opened and all(one.settled or one.failures for one in self._shown()):
                    self.opened = True
                    self._beat()
                    self.on_open(self._views())
                self._wait()
        finally:
            self._close()
        return 1 if self.failure else 0

    def request_stop(self) -> None:
        """End the floor; a second request does not wait for anybody."""
        self.stop_requests += 1

    def _listen(self) -> None:
        receiver, sender = socket.socketpair()
        for end in (receiver, sender):
            end.setblocking(False)
        self._wake = receiver
        signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.request_stop()

        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, stop)
        # A handler of its own, so that the death of a child ends the wait at once.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _wait(self) -> None:
        if self._wake is not None and select.select([self._wake], [], [], TICK_S)[0]:
            self._wake.recv(4096)

    def _step(self, now_s: float) -> bool:
        changed = self._keep_guard()
        for managed in self.managed.values():
            before = managed.state
            self._advance(managed, now_s)
            if managed.state is not before:
                changed = True
                self.on_change(managed)
        return changed

    def _advance(self, managed: Managed, now_s: float) -> None:
        spec = managed.spec
        if managed.state is State.WAITING:
            if all(self.managed[name].settled for name in spec.needs):
                self._start(managed, now_s)
        elif managed.state is State.BACKING_OFF:
            if now_s >= managed.next_start_s:
                managed.restarts += 1
                self._start(managed, now_s)
        elif managed.child is not None and (code := managed.child.poll()) is not None:
            self._ended(managed, code, now_s)
        elif managed.state is State.STARTING and not spec.once and now_s >= managed.next_look_s:
            managed.next_look_s = now_s + LOOK_S
            if managed.child is not None and spec.ready(Birth(managed.child.pid, managed.born_s)):
                managed.state = State.RUNNING
                managed.ready_s = now_s
                managed.silent_s = 0.0
        elif managed.state is State.RUNNING and managed.child is not None:
            if now_s - managed.ready_s > HEALTHY_AFTER_S:
                managed.failures = 0
            if now_s >= managed.next_look_s:
                managed.next_look_s = now_s + LISTEN_S
                self._look_after(managed, now_s)

    def _look_after(self, managed: Managed, now_s: float) -> None:
        """A process that lives but no longer works, frozen or stuck, is killed like one that died."""
        spec = managed.spec
        assert managed.child is not None  # noqa: S101 - for the type checker
        # Silence is summed look by look: a machine that slept for an hour has not heard silence for an hour.
        responds = spec.responds(Birth(managed.child.pid, managed.born_s))
        managed.silent_s = 0.0 if responds else managed.silent_s + LISTEN_S
        if managed.silent_s >= spec.patience_s:
            managed.child.kill()
            managed.child.wait()
            self._end_group(managed)
            self._failed(managed, f"did not respond for {spec.patience_s:.0f} s", now_s)

    def _start(self, managed: Managed, now_s: float) -> None:
        spec = managed.spec
        # The servers' own children must not carry the mark: a sweep would kill them one by one.
        env = spec.env if spec.servant else {**spec.env, strays.TOKEN_VARIABLE: self.token}
        try:
            spec.prepare()
            managed.child = spawn(
                spec.argv, log=managed.log, env=env, cwd=spec.cwd, user=spec.user, nice=spec.nice,
                death_signal=spec.stop_signal,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError, TradefloorError) as error:
            managed.child = None
            self._failed(managed, str(error), now_s)
            return
        managed.identity = strays.identify(managed.child.pid, servant=spec.servant)
        managed.state = State.STARTING
        managed.started_at = self.clock.now().isoformat()
        managed.born_s = self.clock.now_ns() / 1e9
        self._record()

    def _ended(self, managed: Managed, code: int, now_s: float) -> None:
        self._end_group(managed)
        if managed.spec.once and code == 0:
            managed.last_exit = _describe(code)
            managed.state = State.DONE
        else:
            self._failed(managed, _describe(code), now_s)

    def _failed(self, managed: Managed, why: str, now_s: float) -> None:
        managed.last_exit = why
        if not self.opened and managed.spec.vital and managed.state is not State.RUNNING:
            managed.state = State.FAILED
            self.failure = f"{managed.spec.title} failed ({why}): {last_line(managed.log)}"
            return
        if managed.spec.background:
            managed.state = State.FAILED
            return
        managed.failures += 1
        managed.next_start_s = now_s + backoff_s(managed.failures)
        managed.state = State.BACKING_OFF

    def _end_group(self, managed: Managed) -> None:
        """What a dead process left in its group must not meet its successor.

        Once, and at once: its number is the system's again, and may soon be that of a stranger's group.
        """
        if managed.child is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(managed.child.pid, signal.SIGKILL)
            managed.child = None

    def _keep_guard(self) -> bool:
        if self._guard is not None and self._guard.poll() is None:
            return False
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "trading.processes.guard", str(self.run_dir), self.token],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return True

    def _record(self) -> None:
        strays.record(self.run_dir, self.token, [one.identity for one in self.managed.values() if one.identity])

    def _views(self) -> list[ProcessView]:
        return [managed.view() for managed in self._shown() if not managed.spec.once or not managed.settled]

    def _shown(self) -> list[Managed]:
        return [managed for managed in self.managed.values() if not managed.spec.background]

    def _beat(self) -> None:
        views = self._views()
        healthy = self.opened and all(view.state == State.RUNNING for view in views)
        own = strays.identify(os.getpid())
        status.write(
            self.run_dir, FloorView(not self.stop_requests, healthy, own, self.clock.now_ns() / 1e9, tuple(views))
        )
        self.on_beat(views)

    def _close(self) -> None:
        servants = [one for one in self.managed.values() if one.spec.servant]
        others = [one for one in self.managed.values() if not one.spec.servant]
        for phase in sorted({one.spec.stop_phase for one in others}, reverse=True):
            self._stop_together([one for one in others if one.spec.stop_phase == phase])
        # Whatever a child started and left, Dagster's run workers for one.
        strays.sweep(self.token, [])
        self.on_beat(self._views())
        self.before_servants_stop()
        self._stop_together(servants)
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait(timeout=20)
        status.write(self.run_dir, FloorView(False, False, None, self.clock.now_ns() / 1e9, ()))
        signal.set_wakeup_fd(-1)

    def _stop_together(self, phase: Sequence[Managed]) -> None:
        live = [one for one in phase if one.child is not None and one.child.poll() is None]
        for managed in live:
            assert managed.child is not None  # noqa: S101 - for the type checker
            managed.child.send_signal(managed.spec.stop_signal)
        started_s = time.monotonic()
        while live and self.stop_requests < 2:
            for managed in live:
                if managed.child is not None and managed.child.poll() is not None:
                    self._end_group(managed)
            live = [one for one in live if one.child is not None]
            live = [one for one in live if time.monotonic() - started_s < one.spec.stop_timeout_s]
            self._wait()
        for managed in phase:
            if managed.child is not None:
                if managed.child.poll() is None:
                    managed.child.kill()
                    managed.child.wait()
                self._end_group(managed)
            if managed.started_at is not None:
                managed.state = State.STOPPED
                self.on_change(managed)


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
