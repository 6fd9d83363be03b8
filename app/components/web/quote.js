export default function(component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector('.quote');
  root.data = data;
  root.classList.toggle('small', data.small);
  root.querySelector('.symbol').textContent = data.symbol;
  root.querySelector('.name').textContent = data.name;
  const draw = (t) => {
    const q = t.quotes[root.data.symbol], cell = (name) => root.querySelector('.' + name);
    put(cell('bid'), show(q && q.bid), true);
    put(cell('ask'), show(q && q.ask), true);
    put(cell('bs'), q ? size(q.bid_size) : '');
    put(cell('as'), q ? size(q.ask_size) : '');
    const [text, tone] = changeText(change(q, root.data.reference));
    cell('chg').textContent = text; cell('chg').className = 'chg ' + tone;
    const badge = cell('badge');
    badge.className = 'badge state ' + (t.stale ? 'stale' : 'live');
    badge.textContent = 'SIM · ' + (t.stale ? 'stale' : 'live');
  };
  tape().listen(root, draw);
}
