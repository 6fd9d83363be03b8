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
        const step = {ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling'}[e.key];
        if (step) {
          e.preventDefault();
          let other = row[step];
          while (other && other.classList.contains('out')) other = other[step];
          other?.focus();
        }
      };
      return row;
    }));
  }
  const search = root.querySelector('input'), none = root.querySelector('.none');
  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const i of root.data.instruments) {
      const out = wanted !== '' && !(i.symbol + ' ' + i.name).toLowerCase().includes(wanted);
      body.querySelector(`tr[data-symbol="${CSS.escape(i.symbol)}"]`).classList.toggle('out', out);
      shown += !out;
    }
    none.textContent = shown ? '' : 'No instrument has this in its symbol or name.';
  };
  search.oninput = filter;
  search.onkeydown = (e) => {
    const first = body.querySelector('tr:not(.out)');
    if (e.key === 'Enter' && first) setTriggerValue('picked', first.dataset.symbol);
    if (e.key === 'ArrowDown' && first) { e.preventDefault(); first.focus(); }
    if (e.key === 'Escape') { search.value = ''; filter(); }
  };
  filter();
  const state = root.querySelector('.badge');
  const draw = (t) => {
    state.className = 'badge state ' + (t.stale ? 'stale' : 'live');
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
      put(row.querySelector('.bs'), size(q.bid_size));
      put(row.querySelector('.as'), size(q.ask_size));
      const [text, tone] = changeText(change(q, i.reference));
      const cell = row.querySelector('.chg');
      put(cell, text); cell.className = 'chg ' + tone;
    }
  };
  tape().listen(root, draw);
}
