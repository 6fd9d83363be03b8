"""Dagster as the floor's job runner, spoken to over its webserver's GraphQL: nothing here imports Dagster."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from trading.config import Settings
from trading.domain.errors import NotFound, Unavailable
from trading.services.ports.jobs import JobRun, JobRunner, RunEvent, RunState

LOCATION = "tradefloor"
REPOSITORY = "__repository__"
NIGHTLY = "nightly"

_STATES = {
    "QUEUED": RunState.QUEUED,
    "NOT_STARTED": RunState.QUEUED,
    "MANAGED": RunState.QUEUED,
    "STARTING": RunState.RUNNING,
    "STARTED": RunState.RUNNING,
    "CANCELING": RunState.RUNNING,
    "SUCCESS": RunState.SUCCEEDED,
    "FAILURE": RunState.FAILED,
    "CANCELED": RunState.CANCELLED,
}
_RUN = "runId jobName status startTime endTime"
_LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message } ... on PipelineNotFoundError { message } ... on Error { message } } }"""
_STATUS = f"query($id: ID!) {{ runOrError(runId: $id) {{ __typename ... on Run {{ {_RUN} }} }} }}"
_RECENT = f"query($n: Int!) {{ runsOrError(limit: $n) {{ __typename ... on Runs {{ results {{ {_RUN} }} }} }} }}"
_CANCEL = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"
_GIVE_UP = """mutation($id: String!) {
  terminateRun(runId: $id, terminatePolicy: MARK_AS_CANCELED_IMMEDIATELY) { __typename } }"""
_EVENTS = """query($id: ID!, $cursor: String) { logsForRun(runId: $id, afterCursor: $cursor, limit: 200) { __typename
  ... on EventConnection { cursor events { __typename
    ... on MessageEvent { stepKey message }
    ... on ExecutionStepFailureEvent { error { message cause { message } } }
    ... on AssetCheckEvaluationEvent { evaluation { assetKey { path } checkName success description } } } } } }"""
_STEP_EVENTS = {
    "ExecutionStepStartEvent": "started",
    "ExecutionStepSuccessEvent": "succeeded",
    "ExecutionStepFailureEvent": "failed",
    "ExecutionStepSkippedEvent": "skipped",
}


class DagsterJobs:
    """`JobRunner` over the webserver at ``host:port``."""

    def __init__(self, host: str, port: int, *, timeout_s: float = 10.0) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s

    def launch(self, job: str) -> str:
        """Queue a run of a job of this project."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "jobName": job}
        answer = self._ask(_LAUNCH, {"params": {"selector": selector}})["launchRun"]
        if answer["__typename"] == "LaunchRunSuccess":
            return str(answer["run"]["runId"])
        if answer["__typename"] == "PipelineNotFoundError":
            raise NotFound(f"there is no job called {job}")
        raise Unavailable(f"Dagster did not take the job {job}: {answer.get('message', answer['__typename'])}")

    def status(self, run_id: str) -> JobRun:
        """How a run stands."""
        answer = self._ask(_STATUS, {"id": run_id})["runOrError"]
        if answer["__typename"] != "Run":
            raise NotFound(f"there is no run {run_id}")
        return self._run(answer)

    def recent_runs(self, limit: int) -> Sequence[JobRun]:
        """Newest first."""
        answer = self._ask(_RECENT, {"n": limit})["runsOrError"]
        return [self._run(row) for row in answer.get("results", [])]

    def events(self, run_id: str, cursor: str = "") -> tuple[Sequence[RunEvent], str]:
        """Steps and failed checks since ``cursor``."""
        answer = self._ask(_EVENTS, {"id": run_id, "cursor": cursor or None})["logsForRun"]
        if answer["__typename"] != "EventConnection":
            raise NotFound(f"there is no run {run_id}")
        found = [event for row in answer["events"] if (event := _event(row)) is not None]
        return found, str(answer["cursor"])

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop."""
        self._ask(_CANCEL, {"id": run_id})

    def give_up(self, run_id: str) -> None:
        """Call a run cancelled whose worker is known to be dead; the worker is not asked."""
        self._ask(_GIVE_UP, {"id": run_id})

    def _run(self, row: dict[str, Any]) -> JobRun:
        return JobRun(
            run_id=str(row["runId"]),
            job=str(row["jobName"]),
            state=_STATES.get(row["status"], RunState.RUNNING),
            started_s=row["startTime"],
            ended_s=row["endTime"],
            url=f"http://{self._host}:{self._port}/runs/{row['runId']}",
        )

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            body = json.dumps({"query": query, "variables": variables})
            connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(
                f"Dagster does not answer at http://{self._host}:{self._port}. Is the floor open? Start it: make up"
            ) from error
        finally:
            connection.close()
        data = answer.get("data")
        if answer.get("errors") or not isinstance(data, dict):
            first = (answer.get("errors") or [{}])[0].get("message", "no data")
            raise Unavailable(f"Dagster refused the question: {first}")
        return data


def _event(row: dict[str, Any]) -> RunEvent | None:
    kind = _STEP_EVENTS.get(row["__typename"])
    if kind is not None:
        error = row.get("error") or {}
        cause = error.get("cause") or error
        lines = str(cause.get("message", "")).strip().splitlines()
        return RunEvent(kind, row.get("stepKey") or "", lines[0] if lines else "")
    evaluation = row.get("evaluation")
    if evaluation and not evaluation["success"]:
        asset = "/".join(evaluation["assetKey"]["path"])
        return RunEvent("check_failed", f"{asset}: {evaluation['checkName']}", evaluation.get("description") or "")
    return None


def jobs_of(settings: Settings) -> DagsterJobs:
    """The job runner of a floor."""
    return DagsterJobs(settings.host, settings.dagster_port)


def follow(
    jobs: JobRunner, run_id: str, tell: Callable[[RunEvent], None], *, pause_s: float = 0.5, timeout_s: float = 1800.0
) -> JobRun:
    """Wait until a run is over, telling each event as it comes.

    Raises `Unavailable` when the run is not over after ``timeout_s``; it goes on by itself.
    """
    deadline = time.monotonic() + timeout_s
    cursor = ""
    while True:
        state = jobs.status(run_id)
        events, cursor = jobs.events(run_id, cursor)
        for event in events:
            tell(event)
        if state.state.over and not events:
            return state
        if time.monotonic() > deadline:
            raise Unavailable(f"The run {run_id} is not over after {timeout_s:.0f} s; it goes on: {state.url}")
        if not events:
            time.sleep(pause_s)


def run_nightly(settings: Settings, say: Callable[[str], None], *, timeout_s: float = 1800.0) -> int:
    """Run the nightly job now on the open floor and say how it goes, a line a step.

    Returns 0 when it ended green, 1 when it ended red, was cancelled or could not run.
    """
    jobs = jobs_of(settings)
    try:
        run_id = jobs.launch(NIGHTLY)
        say(f"nightly: run {run_id[:8]} queued, details at {jobs.status(run_id).url}")
        ended = follow(jobs, run_id, lambda event: say(_line(event)), timeout_s=timeout_s)
    except Unavailable as error:
        say(str(error))
        return 1
    seconds = (ended.ended_s or 0.0) - (ended.started_s or ended.ended_s or 0.0)
    say(f"nightly: {ended.state} after {seconds:.0f} s")
    return 0 if ended.state is RunState.SUCCEEDED else 1


def _line(event: RunEvent) -> str:
    return f"  {event.kind:12} {event.step}" + (f": {event.message}" if event.message else "")
