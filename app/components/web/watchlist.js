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
