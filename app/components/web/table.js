export default function(component) {
  const { data, parentElement, setTriggerValue } = component;
  const frame = parentElement.querySelector('.frame');
  const words = JSON.stringify(data);
  if (frame.words === words) return;
  const armed = frame.querySelector('button.sure')?.dataset.id;
  frame.words = words;
  const hasAction = data.rows.some(r => r.action || r.link);
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
      if (r.link && data.opens) {
        const follow = document.createElement('button');
        follow.textContent = r.link; follow.className = 'link';
        follow.onclick = (e) => { e.stopPropagation(); window.location.assign(data.opens + encodeURIComponent(r.id)); };
        td.append(follow);
      }
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
    if (data.opens && r.id) {
      const address = data.opens + encodeURIComponent(r.id);
      row.className = 'opens'; row.tabIndex = 0;
      row.onclick = (e) => (e.ctrlKey || e.metaKey) ? window.open(address) : window.location.assign(address);
      row.onkeydown = (e) => { if (e.key === 'Enter' && e.target === row) window.location.assign(address); };
    }
    return row;
  }));
}
