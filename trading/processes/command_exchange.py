"""``tradefloor exchange replay``: a file of events through the compiled engine, into a file of executions."""

import json
import sys
from pathlib import Path

from trading.adapters.executions_file import check_target, executions_file
from trading.adapters.sources.exchange_events import EventFile, EventsRefused
from trading.domain.errors import Invalid
from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import Event, Model

QUEUE_MODELS = {model.name.lower(): model for model in Model}


def replay_events(events: Path, out: Path, queue_model: str, as_json: bool) -> int:
    """Replay ``events``; returns 0, or 1 where the file was refused and no output was written.

    Raises `Invalid` where the call itself is wrong.
    """
    if queue_model not in QUEUE_MODELS:
        raise Invalid(f"--queue-model is one of {', '.join(QUEUE_MODELS)}, not {queue_model!r}", "bad_queue_model")
    if not events.is_file():
        raise Invalid(f"There is no file {events}", "not_found")
    if out.exists() and out.samefile(events):
        raise Invalid("--out is the file of events itself", "bad_target")
    check_target(out)
    file, engine = EventFile(events), CompiledEngine(0, model=QUEUE_MODELS[queue_model])
    try:
        with executions_file(out) as executions:
            for inputs in file.batches():
                engine.add_symbols(len(file.symbols))
                names = list(file.symbols)
                for caused in engine.stream(inputs):
                    executions.write(caused, inputs, names)
    except EventsRefused as refused:
        if as_json:
            told = {"v": 1, "taken": False, "code": refused.code, "line": refused.line, "message": str(refused)}
            print(json.dumps(told, indent=2))  # noqa: T201 - the answer
        else:
            print(f"tradefloor: {events.name}: {refused} ({refused.code})", file=sys.stderr)  # noqa: T201
        return 1
    counts = {event.name.lower(): int(executions.counts[event]) for event in Event}
    answer = {
        "v": 1,
        "taken": True,
        "inputs": file.rows,
        "symbols": len(file.symbols),
        "events": engine.event_seq,
        "counts": counts,
        "open_orders": engine.n_open,
        "queue_model": queue_model,
        "state_sha256": engine.state_hash(),
    }
    if as_json:
        print(json.dumps(answer, indent=2))  # noqa: T201 - the answer
    else:
        told_counts = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        print(f"{file.rows:,} inputs of {len(file.symbols)} symbols, {engine.event_seq:,} events: {told_counts or 0}.")  # noqa: T201
        print(f"{engine.n_open:,} orders are open. State sha256 {answer['state_sha256']}")  # noqa: T201
    return 0
