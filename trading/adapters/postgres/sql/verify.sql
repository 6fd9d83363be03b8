-- Every invariant of ledger, holds, orders, fills, lots and positions, recomputed from the rows of record.
-- Each query returns (check, subject, expected, found) for what is broken, nothing where all is well.
--
-- Between two full runs the queries marked (open) are asked again as they are: they look at what is open now. Those
-- marked (new) see, under the tables' own names, only the rows that verify_new.sql picks; `public.` means the whole table.

-- a portfolio account's balance is the sum of its transfers
select 'balance' as "check", 'account:' || a.id as subject, coalesce(t.net, 0)::text as expected, a.posted::text as found
from account a left join (
    select account_id, sum(amount) as net from (
        select credit_id as account_id, amount from transfer union all select debit_id, -amount from transfer) e
    group by account_id) t on t.account_id = a.id
where a.kind = 'portfolio' and a.posted <> coalesce(t.net, 0);

-- a balance held is the sum of what open holds have left and what withdrawals that wait for an admin will take (open)
select 'held' as "check", 'account:' || a.id, coalesce(h.left_over, 0)::text, a.held::text
from account a left join (
    select account_id, sum(left_over) as left_over from (
        select account_id, amount - used - released as left_over from hold where not resolved
        union all select account_id, amount from cash_request where state = 'pending' and kind = 'withdrawal') e
    group by account_id) h on h.account_id = a.id
where a.held <> coalesce(h.left_over, 0);

-- cash accounts never go below zero, holds included (open)
select 'available' as "check", 'account:' || id, '>= 0', (posted - held)::text from account
where floor_zero and posted - held < 0;

-- a hold is over when every order it serves is: its own, or of a group's first order all but the entry (open)
select 'hold_resolved' as "check", 'order:' || o.id || ' ' || h.leg, 'true' as expected, h.resolved::text as found
from hold h join orders o on o.id = h.order_id
where not h.resolved and not exists (
    select 1 from orders s where s.state not in ('filled', 'rejected', 'cancelled', 'expired') and (s.id = o.id or (
        o.group_role in ('take_profit', 'stop_loss', 'oco') and s.group_id = o.group_id and s.group_role <> 'entry')));

-- an open order that closes has the shares it may still trade on hold, once, no more unless a change is on its way (open)
select 'sale_hold' as "check", 'order:' || o.id, n.open_lots::text as expected, coalesce(h.left_over, 0)::text as found
from orders o
cross join lateral (
    select o.quantity_lots - o.filled_lots - coalesce((
        select e.quantity_lots - e.filled_lots from orders e where e.group_id = o.group_id and e.group_role = 'entry'
        and o.group_role <> 'entry' and e.state not in ('filled', 'rejected', 'cancelled', 'expired')), 0)
        as open_lots) n
left join lateral (
    select h.amount - h.used - h.released as left_over from hold h where h.leg = 'asset' and h.order_id =
        case when o.group_role in ('take_profit', 'stop_loss', 'oco') then o.group_id else o.id end) h on true
where o.effect = 'close' and o.state not in ('filled', 'rejected', 'cancelled', 'expired')
  and coalesce(h.left_over, 0) <> n.open_lots
  and (coalesce(h.left_over, 0) < n.open_lots
       or not exists (select 1 from command c where c.kind = 'modify' and c.input_seq is null and c.order_id = o.id));

-- open orders are counted as they come and go (open)
select 'open_orders' as "check", 'portfolio:' || c.portfolio_id, coalesce(o.open_orders, 0)::text as expected,
       c.open_orders::text as found
from order_count c left join (
    select portfolio_id, count(*) as open_orders from orders
    where state not in ('filled', 'rejected', 'cancelled', 'expired') group by portfolio_id) o
    on o.portfolio_id = c.portfolio_id
where c.open_orders <> coalesce(o.open_orders, 0);

-- an order's terms are those of its last change (new)
select 'order_terms' as "check", 'order:' || o.id, e.terms::text as expected, n.terms::text as found
from orders o
cross join lateral (
    select jsonb_build_object('quantity_lots', o.quantity_lots, 'limit_ticks', o.limit_ticks, 'protection_ticks',
        o.protection_ticks, 'stop_ticks', o.stop_ticks, 'trail', o.trail, 'trail_ppm', o.trail_ppm) as terms) n
join (select distinct on (order_id) order_id, detail -> 'terms' as terms from order_event where detail ? 'terms'
      order by order_id, id desc) e on e.order_id = o.id and e.terms <> n.terms;

-- an order's totals are the sums of its fills (new)
select 'order_totals' as "check", 'order:' || o.id,
       concat_ws(' ', coalesce(f.lots, 0), coalesce(f.price_lots, 0), coalesce(f.notional, 0), coalesce(f.fee, 0)),
       concat_ws(' ', o.filled_lots, o.price_lots_sum, o.notional, o.fee)
from orders o left join (
    select order_id, sum(quantity_lots) as lots, sum(price_ticks::numeric * quantity_lots) as price_lots,
           sum(notional) as notional, sum(fee) as fee from fill group by order_id) f on f.order_id = o.id
where (o.filled_lots, o.price_lots_sum, o.notional, o.fee)
      is distinct from (coalesce(f.lots, 0), coalesce(f.price_lots, 0), coalesce(f.notional, 0), coalesce(f.fee, 0));

-- a filled order is filled, a partly filled one partly (new)
select 'order_state' as "check", 'order:' || id, state, filled_lots || ' of ' || quantity_lots from orders
where (state = 'filled') <> (filled_lots = quantity_lots)
   or (state = 'partially_filled' and filled_lots = 0)
   or (state in ('accepted', 'pending_trigger', 'working', 'rejected') and filled_lots > 0);

-- the last event of an order says the state it has (new)
select 'order_events' as "check", 'order:' || o.id, o.state, coalesce(e.target, 'no event') from orders o
left join lateral (select target from order_event where order_id = o.id order by id desc limit 1) e on true
where e.target is distinct from o.state;
-- each event starts where the one before ended (new)
select 'order_chain' as "check", 'event:' || id, before, source from (
    select id, source, lag(target, 1, 'new') over (partition by order_id order by id) as before from order_event) e
where source <> before;

-- no fill beyond the protection price that the order had then (new)
select 'protection' as "check", 'fill:' || f.order_id || '/' || f.input_seq || '/' || f.n, p.ticks::text as expected,
       f.price_ticks::text as found
from fill f join orders o on o.id = f.order_id
left join (select distinct order_id from order_event where detail ? 'terms' or detail ? 'was') c on c.order_id = o.id
cross join lateral (select case when c.order_id is null then o.protection_ticks else coalesce(
    (select (e.detail -> 'terms' ->> 'protection_ticks')::bigint from order_event e where e.order_id = o.id
     and e.detail ? 'terms' and e.input_seq <= f.input_seq order by e.id desc limit 1),
    (select (e.detail -> 'was' ->> 'protection_ticks')::bigint from order_event e where e.order_id = o.id
     and e.detail ? 'was' and e.input_seq > f.input_seq order by e.id limit 1), o.protection_ticks) end as ticks) p
where (f.side = 'buy' and f.price_ticks > p.ticks) or (f.side = 'sell' and f.price_ticks < p.ticks);

-- a fill's transfers say what the fill says (new)
select 'fill_transfers' as "check", 'fill:' || f.order_id || '/' || f.input_seq || '/' || f.n,
       concat_ws(' ', f.quantity_lots, f.notional, f.fee, f.tax), concat_ws(' ', f.lots, f.cash, f.fees, f.taxes)
from (
    select f.order_id, f.input_seq, f.n, f.quantity_lots, f.notional, f.fee - f.tax as fee, f.tax,
           coalesce(sum(t.amount) filter (where t.kind = 'trade' and t.asset_id = v.asset_id
                                          and (a.kind = 'market') = (f.side = 'buy')), 0) as lots,
           coalesce(sum(t.amount) filter (where t.kind = 'trade' and t.asset_id = v.currency_id
                                          and (a.kind = 'portfolio') = (f.side = 'buy')), 0) as cash,
           coalesce(sum(t.amount) filter (where t.kind = 'fee' and t.asset_id = v.currency_id), 0) as fees,
           coalesce(sum(t.amount) filter (where t.kind = 'tax' and t.asset_id = v.currency_id), 0) as taxes
    from fill f
    join instrument_version v on v.instrument_id = f.instrument_id and v.version = f.instrument_version
    left join order_transfer t on t.order_id = f.order_id and t.input_seq = f.input_seq and t.n = f.n
        and t.portfolio_id = f.portfolio_id
    left join public.account a on a.id = t.debit_id
    group by f.order_id, f.input_seq, f.n, f.quantity_lots, f.notional, f.fee, f.tax) f
where (f.quantity_lots, f.notional, f.fee, f.tax) is distinct from (f.lots, f.cash, f.fees, f.taxes);

-- a fill's named charges are what it was charged (new)
select 'fill_charges' as "check", 'fill:' || f.order_id || '/' || f.input_seq || '/' || f.n,
       concat_ws(' ', f.fee, f.tax) as expected, concat_ws(' ', c.fee, c.tax) as found
from fill f cross join lateral (
    select coalesce(sum((line ->> 2)::bigint), 0) as fee,
           coalesce(sum((line ->> 2)::bigint) filter (where line ->> 1 = 'tax'), 0) as tax
    from jsonb_array_elements(f.charges) line) c
where f.charges <> '[]' and (f.fee, f.tax) is distinct from (c.fee, c.tax);

-- every trade and fee, and every tax of an order, belongs to a fill (new)
select 'orphan_transfer' as "check", 'transfer:' || t.id, 'a fill', 'none' from transfer t
left join public.fill f on f.order_id = t.order_id and f.input_seq = t.input_seq and f.n = t.n
where (t.kind in ('trade', 'fee') or (t.kind = 'tax' and t.order_id is not null)) and f.order_id is null;

-- a position is its open lots (new)
select 'position_lots' as "check", 'account:' || a.id, coalesce(l.lots, 0)::text, a.posted::text
from account a join asset s on s.id = a.asset_id and s.kind = 'instrument'
left join (select l.portfolio_id, v.asset_id, sum(case when l.short then -l.remaining_lots else l.remaining_lots end) as lots
           from lot l join instrument_version v on v.instrument_id = l.instrument_id and v.version = 1
           group by 1, 2) l on l.portfolio_id = a.portfolio_id and l.asset_id = a.asset_id
where a.kind = 'portfolio' and a.posted <> coalesce(l.lots, 0);
-- a position is its fills and what splits made of them
select 'position_fills' as "check", 'account:' || a.id, (coalesce(f.lots, 0) + coalesce(x.lots, 0))::text, a.posted::text
from account a join asset s on s.id = a.asset_id and s.kind = 'instrument'
left join (select f.portfolio_id, v.asset_id, sum(case f.side when 'buy' then f.quantity_lots else -f.quantity_lots end) as lots
           from fill f join instrument_version v on v.instrument_id = f.instrument_id and v.version = f.instrument_version
           group by 1, 2) f on f.portfolio_id = a.portfolio_id and f.asset_id = a.asset_id
left join (select e.portfolio_id, v.asset_id, sum(e.lots_after - e.lots_before) as lots
           from action_effect e join corporate_action c on c.id = e.action_id
           join instrument_version v on v.instrument_id = c.instrument_id and v.version = 1
           group by 1, 2) x on x.portfolio_id = a.portfolio_id and x.asset_id = a.asset_id
where a.kind = 'portfolio' and a.posted <> coalesce(f.lots, 0) + coalesce(x.lots, 0);

-- what an action did is what its transfers moved, and its lots are those it changed
select 'action_transfers' as "check", 'action:' || e.action_id || '/' || e.portfolio_id,
       concat_ws(' ', e.lots_after - e.lots_before, e.cash, e.tax) as expected, concat_ws(' ', t.lots, t.cash, t.tax) as found
from action_effect e join corporate_action c on c.id = e.action_id
join instrument_version v on v.instrument_id = c.instrument_id and v.version = 1
cross join lateral (
    select coalesce(sum(m.signed) filter (where m.asset_id = v.asset_id), 0) as lots,
           coalesce(sum(m.signed) filter (where m.asset_id = v.currency_id and m.kind <> 'tax'), 0) as cash,
           coalesce(sum(-m.signed) filter (where m.asset_id = v.currency_id and m.kind = 'tax'), 0) as tax
    from (select t.asset_id, t.kind, case a.kind when 'portfolio' then t.amount else -t.amount end as signed
          from transfer t join account a on a.id = t.credit_id
          where t.group_id = e.group_id and t.portfolio_id = e.portfolio_id) m) t
where (e.lots_after - e.lots_before, e.cash, e.tax) is distinct from (t.lots, t.cash, t.tax);
select 'action_lots' as "check", 'action:' || e.action_id || '/' || e.portfolio_id,
       concat_ws(' ', abs(e.lots_before), abs(e.lots_after), e.dropped) as expected,
       concat_ws(' ', l.before, l.after, l.dropped) as found
from action_effect e join corporate_action c on c.id = e.action_id and c.kind = 'split'
cross join lateral (select sum(lots_before) as before, sum(lots_after) as after, sum(cost_before - cost_after) as dropped
                    from lot_action l where l.action_id = e.action_id and l.portfolio_id = e.portfolio_id) l
where (abs(e.lots_before), abs(e.lots_after), e.dropped) is distinct from (l.before, l.after, l.dropped);
select 'orphan_transfer' as "check", 'transfer:' || t.id, 'an action', 'none' from transfer t
left join action_effect e on e.group_id = t.group_id and e.portfolio_id = t.portfolio_id
where (t.kind in ('dividend', 'split') or (t.kind = 'tax' and t.order_id is null)) and e.action_id is null;

-- a lot is what was opened less what closed it: a long at what it cost, a short at what it brought (new)
select 'lot' as "check", 'lot:' || l.id, concat_ws(' ', l.quantity_lots - coalesce(c.lots, 0), l.cost - coalesce(c.own, 0)),
       concat_ws(' ', l.remaining_lots, l.remaining_cost)
from lot l left join (
    select x.lot_id, sum(x.quantity_lots) as lots, sum(case when s.short then x.proceeds else x.cost end) as own
    from lot_close x join lot s on s.id = x.lot_id group by x.lot_id) c on c.lot_id = l.id
where (l.remaining_lots, l.remaining_cost) is distinct from (l.quantity_lots - coalesce(c.lots, 0), l.cost - coalesce(c.own, 0));

-- a position is long or short, and a lot was opened by a fill of its side
select 'lot_side' as "check", 'portfolio:' || portfolio_id || ' instrument:' || instrument_id, 'long or short', 'both'
from lot where remaining_lots > 0 group by portfolio_id, instrument_id having bool_or(short) and bool_or(not short);
select 'lot_side' as "check", 'lot:' || l.id, case when l.short then 'sell' else 'buy' end as expected, f.side as found
from lot l join fill f on f.order_id = l.order_id and f.input_seq = l.input_seq and f.n = l.n
where (f.side = 'sell') <> l.short;

-- shorts and debt are for margin portfolios alone
select 'cash_portfolio' as "check", 'lot:' || l.id, 'long' as expected, 'short' as found
from lot l join portfolio p on p.id = l.portfolio_id where l.short and p.kind = 'cash';
select 'floor_zero' as "check", 'account:' || a.id, (p.kind = 'cash')::text as expected, a.floor_zero::text as found
from account a join portfolio p on p.id = a.portfolio_id where a.floor_zero <> (p.kind = 'cash');

-- calls of an account follow one another: a call, perhaps its close-out, then it is met
select 'margin_events' as "check", 'margin_event:' || id, before, kind from (
    select id, kind, lag(kind, 1, 'met') over (partition by portfolio_id, currency_id order by id) as before
    from margin_event) e
where (before, kind) not in (('met', 'call'), ('call', 'close_out'), ('call', 'met'), ('close_out', 'met'));

-- the broker's inputs have no hole (new)
select 'input_log' as "check", 'input:' || first_seq, (before + 1)::text, first_seq::text from (
    select first_seq, lag(last_seq) over (order by first_seq) as before from input_log) l
where before is not null and first_seq <> before + 1;
-- the cursor stands at their end (new)
select 'cursor' as "check", 'cursor', coalesce((select max(last_seq) from input_log), c.input_seq)::text, c.input_seq::text
from broker_cursor c where c.input_seq <> coalesce((select max(last_seq) from input_log), c.input_seq);

-- an approved request was booked once, as it was asked for
select 'cash_request' as "check", 'request:' || r.id, concat_ws(' ', r.kind, r.amount), coalesce(t.found, 'none')
from cash_request r left join lateral (
    select string_agg(concat_ws(' ', t.kind, t.amount), ', ') as found from transfer t
    where t.portfolio_id = r.portfolio_id and t.group_id = r.group_id and t.asset_id = r.asset_id) t on true
where r.state = 'approved' and t.found is distinct from concat_ws(' ', r.kind, r.amount);

-- interest booked is what its days say
select 'interest' as "check", 'portfolio:' || coalesce(d.portfolio_id, t.portfolio_id), coalesce(d.booked, 0)::text,
       coalesce(t.net, 0)::text
from (select portfolio_id, asset_id, sum(booked) as booked from interest_day group by 1, 2) d
full join (select t.portfolio_id, t.asset_id, sum(case when a.id = t.credit_id then -t.amount else t.amount end) as net
           from transfer t join account a on a.id in (t.debit_id, t.credit_id) and a.kind = 'portfolio'
           where t.kind = 'interest' group by 1, 2) t using (portfolio_id, asset_id)
where coalesce(d.booked, 0) <> coalesce(t.net, 0);

-- balances kept for statements are the sums of the lines before them
select 'balance_mark' as "check", 'account:' || m.account_id || ' at ' || m.ts_ns, e.total::text, m.balance::text
from (select account_id, ts_ns, balance - lag(balance, 1, 0::bigint) over w as change,
             lag(ts_ns, 1, -1::bigint) over w as before, balance from balance_mark
      window w as (partition by account_id order by ts_ns)) m
cross join lateral (
    select coalesce(sum(case when t.credit_id = m.account_id then t.amount else -t.amount end), 0) as total
    from account a join transfer t on t.portfolio_id = a.portfolio_id and a.id in (t.debit_id, t.credit_id)
    where a.id = m.account_id and t.ts_ns >= m.before and t.ts_ns < m.ts_ns) e
where m.change <> e.total;

-- the balances that new lines are checked from are the sums of the lines before them
select 'verified_balance' as "check", 'account:' || b.account_id, coalesce(t.net, 0)::text, b.balance::text
from verified_balance b left join (
    select account_id, sum(amount) as net from (
        select credit_id as account_id, amount, xid from transfer union all select debit_id, -amount, xid from transfer) e
    where xid < (select xid from verified) group by account_id) t on t.account_id = b.account_id
where b.balance <> coalesce(t.net, 0);

-- sealed blocks still hash to what was sealed, transfers (new)
select 'ledger_block' as "check", 'block:' || b.id, encode(b.root, 'hex'), encode(r.root, 'hex')
from ledger_block b cross join lateral (
    select sha256(coalesce(string_agg(t.leaf, ''::bytea order by t.id), ''::bytea)) as root from public.transfer t
    where t.xid >= b.xid_from and t.xid < b.xid_to) r
where b.root <> r.root;
-- and fills (new)
select 'ledger_block' as "check", 'block:' || b.id || ' fills', encode(b.fills_root, 'hex'), encode(r.root, 'hex')
from ledger_block b cross join lateral (
    select sha256(coalesce(string_agg(fill_leaf(f), ''::bytea order by f.order_id, f.input_seq, f.n), ''::bytea)) as root
    from public.fill f where f.xid >= b.xid_from and f.xid < b.xid_to) r
where b.fills_root <> r.root;
-- blocks follow each other without a hole (new)
select 'block_chain' as "check", 'block:' || b.id,
       encode(sha256(coalesce(o.hash, ''::bytea) || b.root || coalesce(b.fills_root, ''::bytea)), 'hex'), encode(b.hash, 'hex')
from ledger_block b left join public.ledger_block o on o.id = b.id - 1
where b.hash <> sha256(b.prev_hash || b.root || coalesce(b.fills_root, ''::bytea))
   or b.prev_hash <> coalesce(o.hash, ''::bytea) or b.xid_from <> coalesce(o.xid_to, '0'::xid8)
   or (b.id > 1 and o.id is null);

-- each transfer has its own hash (new)
select 'leaf' as "check", 'transfer:' || t.id, encode(transfer_leaf(t), 'hex'), encode(leaf, 'hex') from transfer t
where leaf <> transfer_leaf(t);

-- children never come to more than their parent: an open one counts whole, one that is over by what it filled
select 'parent_children' as "check", 'parent:' || p.id, '<= ' || p.quantity_lots, c.lots::text
from parent_order p join (
    select parent_id, sum(case when state in ('filled', 'rejected', 'cancelled', 'expired') then filled_lots
                               else quantity_lots end) as lots
    from orders where parent_id is not null group by parent_id) c on c.parent_id = p.id
where c.lots > p.quantity_lots and not exists (  -- a split changes the lots of what is out
    select 1 from corporate_action a where a.instrument_id = p.instrument_id and a.kind = 'split'
    and a.applied_ts_ns >= p.created_ts_ns);
-- a parent that is over has no open child, and one that is filled is filled by its children
select 'parent_state' as "check", 'parent:' || p.id, p.state || ' ' || p.quantity_lots, c.open || ' open ' || c.filled
from parent_order p cross join lateral (
    select count(*) filter (where state not in ('filled', 'rejected', 'cancelled', 'expired')) as open,
           coalesce(sum(filled_lots), 0) as filled
    from orders where parent_id = p.id) c
where p.state in ('filled', 'ended', 'cancelled')
  and (c.open > 0 or (p.state = 'filled') <> (c.filled = p.quantity_lots)) and not exists (
    select 1 from corporate_action a where a.instrument_id = p.instrument_id and a.kind = 'split'
    and a.applied_ts_ns >= p.created_ts_ns);
