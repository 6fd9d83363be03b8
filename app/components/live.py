"""Live prices without a rerun: components with one shared WebSocket of the page's own."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

# One connection a page, shared by its components. It lives on `window`, because a component's script runs again on each
# change of its data; a listener goes when its element has left the page, the connection with the last one.
_TAPE_JS = """
function tape() {
  if (window.tradefloorTape) return window.tradefloorTape;
  const t = {quotes: {}, stale: true, heard: 0, listeners: new Map(), socket: null, delay: 400};
  const emit = () => {
    for (const [element, tell] of t.listeners) {
      if (element.isConnected) tell(t); else t.listeners.delete(element);
    }
    if (t.listeners.size === 0 && t.socket) { t.socket.onclose = null; t.socket.close(); t.socket = null; }
  };
  const connect = () => {
    const scheme = location.protocol === 'https:' ? 'wss://' : 'ws://';
    const socket = new WebSocket(scheme + location.host + '/api/ws/ticks');
    t.socket = socket;
    socket.onmessage = (event) => {
      const news = JSON.parse(event.data);
      t.stale = news.stale; t.heard = performance.now(); t.delay = 400;
      for (const q of news.quotes) t.quotes[q.symbol] = q;
      emit();
    };
    socket.onclose = (event) => {
      t.stale = true; t.socket = null; emit();
      if (event.code === 4401) { location.reload(); return; }
      t.delay = Math.min(t.delay * 2, 5000);
      setTimeout(() => { if (t.listeners.size && !t.socket) connect(); }, t.delay);
    };
  };
  setInterval(() => {
    if (t.listeners.size && performance.now() - t.heard > 3000) { t.stale = true; emit(); }
  }, 500);
  t.listen = (element, tell) => { t.listeners.set(element, tell); if (!t.socket) connect(); tell(t); };
  window.tradefloorTape = t;
  return t;
}
const show = (text) => text === null || text === undefined ? '–' : text;
function change(quote, reference) {
  if (!quote || !quote.bid || !quote.ask || !reference) return null;
  return ((Number(quote.bid) + Number(quote.ask)) / 2 / Number(reference) - 1) * 100;
}
function changeText(percent) {
  if (percent === null) return ['–', ''];
  const text = Math.abs(percent).toFixed(2) + ' %';
  if (text === '0.00 %') return ['0.00 %', ''];
  return percent > 0 ? ['▲ ' + text, 'up'] : ['▼ ' + text, 'down'];
}
function put(cell, text, flash) {
  if (cell.textContent === text) return;
  const before = Number(cell.textContent), now = Number(text);
  cell.textContent = text;
  if (!flash || Number.isNaN(before) || Number.isNaN(now) || before === now) return;
  cell.classList.remove('rose', 'fell');
  void cell.offsetWidth;
  cell.classList.add(now > before ? 'rose' : 'fell');
}
"""

_SHARED_CSS = """
:host, .watch, .quote { font-variant-numeric: tabular-nums; color: var(--st-text-color); font-family: var(--st-font); }
.up { color: var(--st-green-color); } .down { color: var(--st-red-color); }
.rose { animation: rose .7s ease-out; } .fell { animation: fell .7s ease-out; }
@keyframes rose { from { color: var(--st-green-color); background: rgba(46,189,133,.22); } }
@keyframes fell { from { color: var(--st-red-color); background: rgba(240,97,109,.22); } }
@media (prefers-reduced-motion: reduce) { .rose, .fell { animation: none; } }
.state { font-size: .72rem; letter-spacing: .03em; padding: .08rem .45rem; border-radius: 1rem;
  border: 1px solid var(--st-border-color); color: #93a0b0; white-space: nowrap; }
.state.live::before { content: '● '; color: var(--st-green-color); }
.state.stale { color: #e8b04b; border-color: #6b5426; }
.state.stale::before { content: '■ '; }
.dim { color: #8693a3; }
"""

_WATCH_CSS = (
    _SHARED_CSS
    + """
.head { display: flex; align-items: center; justify-content: space-between; margin-bottom: .35rem; }
.title { font-weight: 600; font-size: 1rem; }
table { width: 100%; border-collapse: collapse; font-size: .86rem; }
th { font-weight: 500; font-size: .72rem; color: #8693a3; text-align: right; padding: .15rem .3rem; }
th:first-child, td:first-child { text-align: left; padding-left: .45rem; }
td { padding: .28rem .3rem; text-align: right; border-top: 1px solid var(--st-border-color); line-height: 1.2; }
td:last-child, th:last-child { padding-right: .45rem; white-space: nowrap; }
tbody tr { cursor: pointer; outline-offset: -2px; }
tbody tr:hover { background: rgba(255,255,255,.035); }
tbody tr:focus-visible { outline: 2px solid var(--st-primary-color); }
tbody tr.picked { background: rgba(76,141,255,.13); box-shadow: inset 3px 0 0 var(--st-primary-color); }
.symbol { font-weight: 600; }
.name { font-size: .72rem; max-width: 7.5rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.size { font-size: .72rem; }
.stale-all td .price { opacity: .55; }
"""
)

_WATCH_JS = (
    _TAPE_JS
    + """
export default function(component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector('.watch');
  root.data = data;
  const body = root.querySelector('tbody');
  const wanted = data.instruments.map(i => i.symbol).join(' ');
  if (body.dataset.symbols !== wanted) {
    body.dataset.symbols = wanted;
    body.replaceChildren(...data.instruments.map(i => {
      const row = document.createElement('tr');
      row.dataset.symbol = i.symbol; row.tabIndex = 0;
      row.innerHTML = '<td><div class="symbol"></div><div class="name dim"></div></td>'
        + '<td><div class="price bid">–</div><div class="size dim bs"></div></td>'
        + '<td><div class="price ask">–</div><div class="size dim as"></div></td><td class="chg">–</td>';
      row.querySelector('.symbol').textContent = i.symbol;
      const name = row.querySelector('.name'); name.textContent = i.name; name.title = i.name;
      const pick = () => setTriggerValue('picked', i.symbol);
      row.onclick = pick;
      row.onkeydown = (e) => {
        if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); pick(); }
        if (e.key === 'ArrowDown') { e.preventDefault(); row.nextElementSibling?.focus(); }
        if (e.key === 'ArrowUp') { e.preventDefault(); row.previousElementSibling?.focus(); }
      };
      return row;
    }));
  }
  const state = root.querySelector('.state');
  const draw = (t) => {
    state.className = 'state ' + (t.stale ? 'stale' : 'live');
    state.textContent = t.stale ? 'stale' : 'live';
    state.title = t.stale ? 'No new price for 3 seconds: the market or the connection is away' : 'Prices are moving';
    body.classList.toggle('stale-all', t.stale);
    for (const i of root.data.instruments) {
      const row = body.querySelector(`tr[data-symbol="${CSS.escape(i.symbol)}"]`);
      row.classList.toggle('picked', i.symbol === root.data.picked);
      const q = t.quotes[i.symbol];
      if (!q) continue;
      put(row.querySelector('.bid'), show(q.bid), true);
      put(row.querySelector('.ask'), show(q.ask), true);
      put(row.querySelector('.bs'), '× ' + q.bid_size);
      put(row.querySelector('.as'), '× ' + q.ask_size);
      const [text, tone] = changeText(change(q, i.reference));
      const cell = row.querySelector('.chg');
      put(cell, text); cell.className = 'chg ' + tone;
    }
  };
  tape().listen(root, draw);
}
"""
)

_WATCH_HTML = """<div class="watch"><div class="head"><span class="title">Watchlist
<span class="state" title="Simulated venue: not a real market">SIM</span></span><span class="state stale">stale</span></div>
<table><thead><tr><th>Symbol</th><th>Bid</th><th>Ask</th><th>Day</th></tr></thead><tbody></tbody></table></div>"""

_QUOTE_CSS = (
    _SHARED_CSS
    + """
.quote { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem 1.4rem; }
.symbol { font-size: 1.35rem; font-weight: 650; }
.side { display: inline-flex; gap: .4rem; align-items: baseline; }
.price { font-size: 1.2rem; font-weight: 600; padding: 0 .15rem; border-radius: 3px; }
.label { font-size: .75rem; color: #8693a3; }
"""
)

_QUOTE_JS = (
    _TAPE_JS
    + """
export default function(component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector('.quote');
  root.data = data;
  root.querySelector('.symbol').textContent = data.symbol;
  root.querySelector('.name').textContent = data.name;
  const draw = (t) => {
    const q = t.quotes[root.data.symbol], cell = (name) => root.querySelector('.' + name);
    put(cell('bid'), show(q && q.bid), true);
    put(cell('ask'), show(q && q.ask), true);
    put(cell('bs'), q ? '× ' + q.bid_size : '');
    put(cell('as'), q ? '× ' + q.ask_size : '');
    const [text, tone] = changeText(change(q, root.data.reference));
    cell('chg').textContent = text; cell('chg').className = 'chg ' + tone;
    const badge = cell('badge');
    badge.className = 'badge state ' + (t.stale ? 'stale' : 'live');
    badge.textContent = 'SIM · ' + (t.stale ? 'stale' : 'live');
  };
  tape().listen(root, draw);
}
"""
)

_QUOTE_HTML = """<div class="quote"><span><span class="symbol"></span> <span class="name dim"></span></span>
<span class="side"><span class="label">Bid</span><span class="price bid">–</span><span class="dim bs"></span></span>
<span class="side"><span class="label">Ask</span><span class="price ask">–</span><span class="dim as"></span></span>
<span class="chg">–</span><span class="badge state"></span></div>"""


def watchlist(instruments: Sequence[dict[str, Any]], picked: str, on_pick: Callable[[], None]) -> None:
    """Rows ``{symbol, name, reference}`` with live bid, ask, sizes and the change since ``reference``.

    A click, or Enter on a focused row, sets ``st.session_state["watchlist"].picked`` and calls ``on_pick``.
    """
    st.components.v2.component("tradefloor_watchlist", html=_WATCH_HTML, css=_WATCH_CSS, js=_WATCH_JS)(
        key="watchlist", data={"instruments": list(instruments), "picked": picked}, on_picked_change=on_pick
    )


def quote_line(symbol: str, name: str, reference: str | None, key: str = "quote") -> None:
    """One instrument's live quote in large figures."""
    st.components.v2.component("tradefloor_quote", html=_QUOTE_HTML, css=_QUOTE_CSS, js=_QUOTE_JS)(
        key=key, data={"symbol": symbol, "name": name, "reference": reference}
    )
