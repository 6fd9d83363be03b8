export default function(component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector('.ladder');
  root.data = data;
  const line = ([price, lots], most) => {
    const row = document.createElement('div'); row.className = 'row';
    const bar = document.createElement('div'); bar.className = 'bar'; bar.style.width = (100 * lots / most).toFixed(1) + '%';
    const cells = [size(String(lots)).slice(2), price].map((text, n) => {
      const cell = document.createElement('span'); cell.textContent = text; if (n) cell.className = 'price'; return cell;
    });
    row.append(bar, ...cells);
    return row;
  };
  const draw = (t) => {
    const book = t.book && t.book.symbol === root.data.symbol ? t.book : null;
    const rows = book ? book.bids.length + book.asks.length : 0;
    root.querySelector('.empty').textContent =
      book ? (rows ? '' : 'Nobody shows a price now.') : (t.stale ? 'No prices are coming.' : 'Waiting for the book …');
    root.querySelector('.middle').style.display = rows ? '' : 'none';
    root.querySelector('.gap').textContent = book && book.bids.length && book.asks.length
      ? 'spread ' + (Number(book.asks[0][0]) - Number(book.bids[0][0])).toFixed((book.asks[0][0].split('.')[1] || '').length) : '';
    if (root.drawn === book) return;
    root.drawn = book;
    const most = book ? Math.max(1e-12, ...book.bids.map(l => l[1]), ...book.asks.map(l => l[1])) : 1;
    root.querySelector('.asks').replaceChildren(...(book ? book.asks.slice().reverse().map(l => line(l, most)) : []));
    root.querySelector('.bids').replaceChildren(...(book ? book.bids.map(l => line(l, most)) : []));
  };
  tape().ladder(data.symbol);
  tape().listen(root, draw);
}
