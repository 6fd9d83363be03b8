"""A table for figures: aligned digits, rows that open, one action a row with a second click to confirm, cards on a phone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

Cell = str | tuple[str, str]
"""Text, or text and tone: ``up``, ``down``, ``dim``, ``warn`` or ``strong``."""


@dataclass(frozen=True, slots=True)
class Row:
    """Cells in the order of the columns; ``id`` is what comes back from a click; ``action`` empty means none."""

    cells: Sequence[Cell]
    id: str = ""
    action: str = ""
    confirm: str = ""
    note: str = field(default="")


_HTML = '<div class="frame"><table><thead></thead><tbody></tbody></table><p class="empty"></p></div>'

_CSS = """
.frame { container-type: inline-size; font-variant-numeric: tabular-nums; font-family: var(--st-font);
  color: var(--st-text-color); font-size: .87rem; }
table { width: 100%; border-collapse: collapse; }
th { font-weight: 500; font-size: .74rem; color: #8693a3; padding: .25rem .55rem; text-align: left; white-space: nowrap; }
td { padding: .38rem .55rem; border-top: 1px solid var(--st-border-color); vertical-align: top; }
th.right, td.right { text-align: right; } td.right { white-space: nowrap; }
tbody tr.opens { cursor: pointer; outline-offset: -2px; } tbody tr.opens:hover { background: rgba(255,255,255,.035); }
tbody tr:focus-visible { outline: 2px solid var(--st-primary-color); }
.up { color: var(--st-green-color); } .down { color: var(--st-red-color); } .dim { color: #8693a3; }
.warn { color: #e8b04b; } .strong { font-weight: 600; }
.note { font-size: .76rem; color: #8693a3; }
.empty { margin: .6rem 0; color: #93a0b0; }
button { font: inherit; font-size: .78rem; color: var(--st-text-color); background: transparent; cursor: pointer;
  border: 1px solid var(--st-border-color); border-radius: 5px; padding: .12rem .55rem; white-space: nowrap; }
button:hover { border-color: #56606e; } button.sure { border-color: var(--st-red-color); color: var(--st-red-color); }
@container (max-width: 560px) {
  thead { display: none; }
  table, tbody { display: block; }
  tr { display: grid; grid-template-columns: 1fr 1fr; gap: .1rem .9rem; padding: .5rem .1rem;
    border-top: 1px solid var(--st-border-color); }
  td { display: flex; justify-content: space-between; gap: .5rem; border: 0; padding: .08rem 0; min-width: 0; }
  td::before { content: attr(data-label); color: #8693a3; font-size: .76rem; flex: none; }
  td.right { white-space: normal; text-align: right; }
  td.wide { grid-column: 1 / -1; } td.lead { font-weight: 600; } td.lead::before { content: none; }
  td.act:empty { display: none; } td.act::before { content: none; }
  td span { text-align: right; overflow-wrap: anywhere; } td.lead span { text-align: left; }
}
"""

_JS = """
export default function(component) {
  const { data, parentElement, setTriggerValue } = component;
  const frame = parentElement.querySelector('.frame');
  const words = JSON.stringify(data);
  if (frame.words === words) return;
  const armed = frame.querySelector('button.sure')?.dataset.id;
  frame.words = words;
  const hasAction = data.rows.some(r => r.action);
  frame.querySelector('table').style.display = data.rows.length ? '' : 'none';
  const empty = frame.querySelector('.empty');
  empty.textContent = data.empty; empty.style.display = data.rows.length ? 'none' : '';
  const line = document.createElement('tr');
  for (const c of data.columns) {
    const th = document.createElement('th'); th.textContent = c.label; th.scope = 'col';
    if (c.right) th.className = 'right';
    line.append(th);
  }
  if (hasAction) line.append(document.createElement('th'));
  frame.querySelector('thead').replaceChildren(line);
  frame.querySelector('tbody').replaceChildren(...data.rows.map(r => {
    const row = document.createElement('tr');
    r.cells.forEach((cell, n) => {
      const column = data.columns[n], td = document.createElement('td'), span = document.createElement('span');
      const [text, tone] = Array.isArray(cell) ? cell : [cell, ''];
      span.textContent = text; if (tone) span.className = tone;
      td.dataset.label = column.label;
      td.className = (column.right ? 'right ' : '') + (column.wide ? 'wide ' : '') + (n === 0 ? 'lead' : '');
      td.append(span);
      if (n === 0 && r.note) {
        const note = document.createElement('div'); note.className = 'note'; note.textContent = r.note; span.append(note);
      }
      row.append(td);
    });
    if (hasAction) {
      const td = document.createElement('td'); td.className = 'right act';
      if (r.action) {
        const button = document.createElement('button');
        const arm = () => { button.textContent = r.confirm; button.className = 'sure'; };
        button.textContent = r.action; button.dataset.id = r.id;
        if (armed === r.id) arm();
        button.onclick = (e) => {
          e.stopPropagation();
          if (r.confirm && !button.classList.contains('sure')) {
            arm(); setTimeout(() => { button.textContent = r.action; button.className = ''; }, 4000); return;
          }
          button.disabled = true; setTriggerValue('acted', r.id);
        };
        td.append(button);
      }
      row.append(td);
    }
    if (data.opens) {
      row.className = 'opens'; row.tabIndex = 0;
      row.onclick = () => setTriggerValue('opened', r.id);
      row.onkeydown = (e) => { if (e.key === 'Enter' && e.target === row) setTriggerValue('opened', r.id); };
    }
    return row;
  }));
}
"""


def table(
    key: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    empty: str,
    *,
    on_open: Callable[[str], None] | None = None,
    on_action: Callable[[str], None] | None = None,
) -> None:
    """Show ``rows`` under ``columns``; a column's name may start with ``>`` (right-aligned) or ``=`` (full width).

    ``empty`` says what to do next where there are no rows. ``on_open`` and ``on_action`` get the row's id.
    """

    def told(what: str, tell: Callable[[str], None] | None) -> Callable[[], None]:
        def callback() -> None:
            row_id = st.session_state[key].get(what)
            if tell is not None and row_id is not None:
                tell(str(row_id))

        return callback

    data: dict[str, Any] = {
        "columns": [
            {"label": name.lstrip(">="), "right": name.startswith(">"), "wide": name.startswith("=")}
            for name in columns
        ],
        "rows": [
            {
                "id": row.id,
                "cells": [list(cell) if isinstance(cell, tuple) else cell for cell in row.cells],
                "action": row.action,
                "confirm": row.confirm,
                "note": row.note,
            }
            for row in rows
        ],
        "empty": empty,
        "opens": on_open is not None,
    }
    st.components.v2.component("tradefloor_table", html=_HTML, css=_CSS, js=_JS)(
        key=key, data=data, on_opened_change=told("opened", on_open), on_acted_change=told("acted", on_action)
    )
