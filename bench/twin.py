"""The C++ twin of the compiled core: limits, IOCs and cancels of one symbol, the same structures and events."""

SOURCE = r"""
// Input: arrays of 112-byte rows; output: 64-byte events. Built with -O3 -march=native.
#include <cstdint>
#include <cstdlib>
#include <cstring>
typedef int64_t i64; typedef int32_t i32; typedef uint64_t u64; typedef uint32_t u32; typedef uint8_t u8;
struct Input {
  i64 seq, ts, id, owner, price, qty, ask, ask_qty, expires, stop, trail, link;
  i32 symbol; u8 op, side, kind, trigger, flags, link_kind, x[6];
};
struct Event { i64 seq, input, id, maker, price, qty, left; i32 symbol; u8 kind, code, side, x; };
struct Order { i64 price, qty, id, owner, expires; i32 next, prev, timer, symbol; u8 side, kind, waits, x[5]; };
struct Level { i32 head, tail; };
struct Far { i64 price; i32 head, tail, next, x; };
struct Entry { u32 tag; i32 slot; };
static const i64 W = 8192, HALF = W / 2, EDGE = W / 8;
struct Side { i64 base, best; i32 far; Level level[W]; u64 bits[W / 64 + 8]; };
struct Book {
  Order* orders; Far* far; Entry* index; Event* events; Side sides[2];
  i64 mask, shift, n_events, free_order, free_far, n_live, seq, event_seq, now, fresh;

  i64 tag(i64 id) { return (i64)(((u64)id * 0x9E3779B97F4A7C15ull) >> 32); }
  i64 find(i64 id) {
    i64 t = tag(id);
    for (i64 at = t >> shift;; at = (at + 1) & mask) {
      Entry& e = index[at];
      if (!e.slot) return 0;
      if (e.tag == (u32)t && orders[e.slot].id == id) return e.slot;
    }
  }
  void insert(i64 id, i64 slot) {
    i64 t = tag(id), at = t >> shift;
    while (index[at].slot) at = (at + 1) & mask;
    index[at].tag = (u32)t; index[at].slot = (i32)slot;
  }
  void erase(i64 id, i64 slot) {
    i64 at = tag(id) >> shift;
    while (index[at].slot != slot) at = (at + 1) & mask;
    i64 hole = at;
    for (;;) {
      at = (at + 1) & mask;
      if (!index[at].slot) break;
      i64 home = (i64)index[at].tag >> shift;
      if (((at - home) & mask) >= ((at - hole) & mask)) { index[hole] = index[at]; hole = at; }
    }
    index[hole].slot = 0;
  }
  void emit(int kind, int code, int side, i64 id, i64 maker, i64 price, i64 qty, i64 left) {
    Event& e = events[n_events++];
    e.seq = ++event_seq; e.input = seq; e.id = id; e.maker = maker; e.price = price; e.qty = qty; e.left = left;
    e.symbol = 0; e.kind = kind; e.code = code; e.side = side; e.x = 0;
  }
  void mark(Side& s, i64 at) {
    i64 w = at >> 6; s.bits[w] |= 1ull << (at & 63); s.bits[W / 64 + (w >> 6)] |= 1ull << (w & 63);
  }
  void unmark(Side& s, i64 at) {
    i64 w = at >> 6;
    if (!(s.bits[w] &= ~(1ull << (at & 63)))) s.bits[W / 64 + (w >> 6)] &= ~(1ull << (w & 63));
  }
  i64 lowest(Side& s) {
    u64 t = s.bits[W / 64]; i64 at;
    if (t) at = __builtin_ctzll(t);
    else { t = s.bits[W / 64 + 1]; if (!t) return -1; at = 64 + __builtin_ctzll(t); }
    return (at << 6) + __builtin_ctzll(s.bits[at]);
  }
  i64 highest(Side& s) {
    u64 t = s.bits[W / 64 + 1]; i64 at;
    if (t) at = 127 - __builtin_clzll(t);
    else { t = s.bits[W / 64]; if (!t) return -1; at = 63 - __builtin_clzll(t); }
    return (at << 6) + 63 - __builtin_clzll(s.bits[at]);
  }
  i64 best_level(int side) { return side == 0 ? highest(sides[0]) : lowest(sides[1]); }
  i64 worst_level(int side) { return side == 0 ? lowest(sides[0]) : highest(sides[1]); }
  void recentre(int side, i64 price) {
    Side& s = sides[side];
    for (i64 at = worst_level(side); at >= 0; at = worst_level(side)) {
      i64 slot = free_far; Far& f = far[slot]; free_far = f.next;
      f.price = s.base + at; f.head = s.level[at].head; f.tail = s.level[at].tail; f.next = s.far;
      s.far = (i32)slot; s.level[at].head = s.level[at].tail = 0; unmark(s, at);
    }
    s.base = price - HALF;
    while (s.far) {
      i64 slot = s.far; Far& f = far[slot]; i64 at = f.price - s.base;
      if (at < 0 || at >= W) break;
      s.level[at].head = f.head; s.level[at].tail = f.tail; mark(s, at);
      s.far = f.next; f.next = (i32)free_far; free_far = slot;
    }
    s.best = best_level(side);
  }
  void find_best(int side) {
    Side& s = sides[side]; i64 at = best_level(side); s.best = at;
    if (at < 0) { if (s.far) recentre(side, far[s.far].price); }
    else if ((side == 0 && at < EDGE) || (side == 1 && at >= W - EDGE)) recentre(side, s.base + at);
  }
  void append(int side, i64 slot) {
    Side& s = sides[side]; Order& o = orders[slot]; o.next = o.prev = 0;
    i64 at = o.price - s.base;
    if (at < 0 || at >= W) {
      if (s.best >= 0 && (at < 0) == (side == 0)) { append_far(side, slot); return; }
      recentre(side, o.price); at = o.price - s.base;
    }
    Level& l = s.level[at]; i32 last = l.tail; l.tail = (i32)slot;
    if (last) { o.prev = last; orders[last].next = (i32)slot; return; }
    l.head = (i32)slot; mark(s, at);
    if (s.best < 0 || (at > s.best) == (side == 0)) s.best = at;
  }
  void append_far(int side, i64 slot) {
    i64 sign = 1 - 2 * side, before = 0; Side& s = sides[side]; Order& o = orders[slot]; i64 at = s.far;
    while (at && sign * (far[at].price - o.price) > 0) { before = at; at = far[at].next; }
    if (at && far[at].price == o.price) {
      o.prev = far[at].tail; orders[far[at].tail].next = (i32)slot; far[at].tail = (i32)slot; return;
    }
    i64 n = free_far; Far& f = far[n]; free_far = f.next;
    f.price = o.price; f.head = f.tail = (i32)slot; f.next = (i32)at;
    if (before) far[before].next = (i32)n; else s.far = (i32)n;
  }
  void remove(int side, i64 slot) {
    Order& o = orders[slot]; i32 nx = o.next, pv = o.prev; Side& s = sides[side];
    if (pv) orders[pv].next = nx;
    if (nx) orders[nx].prev = pv;
    if (pv && nx) return;
    i64 at = o.price - s.base;
    if (at < 0 || at >= W) {
      i64 before = 0, f = s.far;
      while (far[f].price != o.price) { before = f; f = far[f].next; }
      if (!pv) far[f].head = nx;
      if (!nx) far[f].tail = pv;
      if (!far[f].head) {
        if (before) far[before].next = far[f].next; else s.far = far[f].next;
        far[f].next = (i32)free_far; free_far = f;
      }
      return;
    }
    Level& l = s.level[at];
    if (!pv) l.head = nx;
    if (!nx) { l.tail = pv; if (!pv) { unmark(s, at); if (at == s.best) find_best(side); } }
  }
  void release(i64 slot) {
    Order& o = orders[slot]; erase(o.id, slot); o.id = 0; o.next = (i32)free_order; free_order = slot; n_live--;
  }
  i64 take(int side, i64 id, i64 owner, i64 limit, i64 qty) {
    int other = 1 - side; i64 sign = 1 - 2 * side; Side& s = sides[other];
    while (qty > 0 && s.best >= 0) {
      i64 at = s.best, price = s.base + at;
      if (sign * (price - limit) > 0) break;
      Level& l = s.level[at]; i64 slot = l.head; bool own = false;
      while (slot && qty > 0) {
        Order& o = orders[slot];
        if (owner && o.owner == owner) { own = true; break; }
        i64 open = o.qty, traded = open < qty ? open : qty; qty -= traded;
        emit(3, 1, side, id, o.id, price, traded, qty);
        if (traded == open) { i64 nx = o.next; release(slot); slot = nx; } else o.qty = open - traded;
      }
      l.head = (i32)slot;
      if (slot) orders[slot].prev = 0; else { l.tail = 0; unmark(s, at); find_best(other); }
      if (own) { emit(4, 4, side, id, 0, limit, 0, qty); return 0; }
    }
    return qty;
  }
  void apply(const Input& r) {
    seq = r.seq; if (r.ts > now) now = r.ts;
    if (r.op == 1) {
      int code = r.id <= 0 ? 11 : r.qty <= 0 ? 8 : find(r.id) ? 3 : 0;
      if (code) { emit(2, code, r.side, r.id, 0, r.price, r.qty, 0); return; }
      emit(1, 0, r.side, r.id, 0, r.price, r.qty, r.qty);
      i64 left = take(r.side, r.id, r.owner, r.price, r.qty);
      if (!left) return;
      if (r.kind == 3) { emit(4, 2, r.side, r.id, 0, r.price, 0, left); return; }
      i64 slot = free_order; Order& o = orders[slot]; free_order = o.next; n_live++;
      o.price = r.price; o.qty = left; o.id = r.id; o.owner = r.owner; o.expires = r.expires; o.timer = 0;
      o.symbol = 0; o.side = r.side; o.kind = r.kind; o.waits = 0;
      insert(r.id, slot); append(r.side, slot);
    } else {
      i64 slot = find(r.id);
      if (!slot) { emit(2, 4, r.side, r.id, 0, r.price, r.qty, 0); return; }
      Order& o = orders[slot];
      emit(4, 1, o.side, o.id, 0, o.price, 0, o.qty); remove(o.side, slot); release(slot);
    }
  }
};
extern "C" Book* book_new(i64 n, i64 bits, i64 cap) {
  Book* b = (Book*)calloc(1, sizeof(Book));
  b->orders = (Order*)calloc(n, sizeof(Order)); b->far = (Far*)calloc(n, sizeof(Far));
  b->index = (Entry*)calloc(1ull << bits, sizeof(Entry)); b->events = (Event*)calloc(cap, sizeof(Event));
  for (i64 i = 1; i < n; i++) b->orders[i].next = b->far[i].next = i + 1 < n ? (i32)(i + 1) : 0;
  b->free_order = b->free_far = 1; b->mask = (1ll << bits) - 1; b->shift = 32 - bits;
  b->sides[0].best = b->sides[1].best = -1; return b;
}
extern "C" void book_free(Book* b) { free(b->orders); free(b->far); free(b->index); free(b->events); free(b); }
extern "C" i64 book_run(Book* b, const Input* rows, i64 first, i64 count, i64 cap) {
  for (i64 i = first; i < count; i++) {
    if (b->n_events + 2 * b->n_live + 24 > cap) return i;
    b->apply(rows[i]);
  }
  return count;
}
extern "C" Event* book_events(Book* b) { return b->events; }
extern "C" i64 book_taken(Book* b) { i64 n = b->n_events; b->n_events = 0; return n; }
"""
