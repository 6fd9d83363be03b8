// One connection a page, shared by its components. It lives on `window`, because a component's script runs again on each
// change of its data; a listener goes when its element has left the page, the connection with the last one.
function tape() {
  if (window.tradefloorTape) return window.tradefloorTape;
  const t = {quotes: {}, book: null, wish: null, stale: true, heard: 0, listeners: new Map(), socket: null, delay: 400};
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
    socket.onopen = () => { if (t.wish) socket.send(JSON.stringify({ladder: t.wish})); };
    socket.onmessage = (event) => {
      const news = JSON.parse(event.data);
      t.stale = news.stale; t.heard = performance.now(); t.delay = 400;
      for (const q of news.quotes) t.quotes[q.symbol] = q;
      if (news.book) t.book = news.book;
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
  t.ladder = (symbol) => {
    if (t.wish === symbol) return;
    t.wish = symbol; t.book = null;
    if (t.socket && t.socket.readyState === WebSocket.OPEN) t.socket.send(JSON.stringify({ladder: symbol}));
  };
  window.tradefloorTape = t;
  return t;
}
const show = (text) => text === null || text === undefined ? '–' : text;
const size = (text) => {
  const n = Number(text);
  if (n >= 1e6) return '× ' + (n / 1e6).toFixed(2) + 'M';
  return '× ' + (n >= 1e4 ? Math.round(n).toLocaleString('en-US') : text);
};
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
