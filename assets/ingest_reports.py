"""Ingest reports as metadata."""

from collections.abc import Sequence

import pandas as pd
from dagster import MaterializeResult

from assets import show
from trading.services.ingest import IngestReport

FILES = ["file", "taken", "rows", "accepted", "quarantined", "refused", "why refused"]
RULES = ["file", "rule", "severity", "rows"]


def summary(reports: Sequence[IngestReport]) -> MaterializeResult:
    """What was taken, quarantined and refused, a row a file; and which rules found how much."""
    files = [
        (r.file, r.taken, r.rows, r.accepted, r.quarantined, r.refused, (r.refusal or {}).get("reason", ""))
        for r in reports
    ]
    rules = [
        (report.file, rule, found["severity"], found["count"])
        for report in reports
        for rule, found in report.findings.items()
    ]
    return MaterializeResult(
        data_version=show.version(report.sha256 for report in reports),
        metadata={
            "dagster/row_count": sum(report.accepted for report in reports),
            "quarantined": sum(report.quarantined for report in reports),
            "refused": sum(report.refused for report in reports),
            "files": show.table(pd.DataFrame(files, columns=FILES)),
            "rules": show.table(pd.DataFrame(rules, columns=RULES)),
        },
    )
