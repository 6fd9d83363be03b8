-- Margin portfolios: what they are judged on, and what the broker writes of calls and of what it closes.

-- The policy of a market: its own, else the one for all.
create or replace function margin_policy_of(p_class text) returns jsonb language sql stable security definer
set search_path = public as $$
    select to_jsonb(m) from margin_policy m where asset_class in (p_class, '')
        order by asset_class desc, version desc limit 1;
$$;

-- The positions of a portfolio in one currency, each with its instrument as it is now and its policy.
create or replace function margin_holdings(p_portfolio bigint, p_currency int) returns jsonb language sql stable
security definer set search_path = public as $$
    select coalesce(jsonb_agg(to_jsonb(v) || jsonb_build_object('lots', a.posted, 'symbol', i.symbol, 'venue', i.venue,
            'asset_code', s.code, 'asset_scale', s.scale, 'currency_code', c.code, 'currency_scale', c.scale,
            'asset_account', a.id, 'policy', margin_policy_of(v.asset_class)) order by v.instrument_id), '[]')
        from account a
        join asset s on s.id = a.asset_id and s.kind = 'instrument'
        join instrument_version f on f.asset_id = a.asset_id and f.version = 1
        cross join lateral (select * from instrument_version where instrument_id = f.instrument_id
                            order by version desc limit 1) v
        join instrument i on i.id = v.instrument_id
        join asset c on c.id = v.currency_id
        where a.portfolio_id = p_portfolio and a.kind = 'portfolio' and a.posted <> 0 and v.currency_id = p_currency;
$$;

-- What an order of a margin portfolio is judged on, beside what every order is. The caller has locked the cash account.
create or replace function margin_context(p_portfolio bigint, p_currency int, p_instrument int)
returns jsonb language sql stable security definer set search_path = public as $$
    select jsonb_build_object('cash', coalesce(a.posted, 0), 'held', coalesce(a.held, 0),
        'policy', (select margin_policy_of(asset_class) from instrument_version where instrument_id = p_instrument
                   order by version desc limit 1),
        'holdings', margin_holdings(p_portfolio, p_currency),
        'opening', (select coalesce(jsonb_object_agg(side, many), '{}') from (
            select side, count(*) as many from orders where portfolio_id = p_portfolio and instrument_id = p_instrument
            and effect = 'open' and state not in ('filled', 'rejected', 'cancelled', 'expired') group by side) o))
        from (select 1) one left join account a
            on a.portfolio_id = p_portfolio and a.asset_id = p_currency and a.kind = 'portfolio';
$$;

-- Rounded to the nearest whole, ties to the even one, as all money is.
create or replace function half_even(p numeric) returns numeric language sql immutable as $$
    select round(p) - case when abs(p - trunc(p)) = 0.5 then mod(round(p), 2) else 0 end;
$$;

-- Why an amount may not leave an account of a margin portfolio: what its positions and open orders do not require is less
-- (`domain/margin.py`: withdrawable), or is not known. p_marks are the newest quotes as the caller saw them,
-- {"INSTRUMENT": [bid_ticks, ask_ticks, ts_ns]}; one from before a split or dividend that is booked, or from after one
-- that is not, is no price of what is held. Null where nothing stands against it, and for a cash portfolio. The caller
-- has locked the account, with which all that is judged here changes.
create or replace function margin_refusal(p_portfolio bigint, p_asset int, p_amount bigint, p_marks jsonb)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    w record;
begin
    if not exists (select 1 from portfolio where id = p_portfolio and kind = 'margin') then
        return null;
    end if;
    select c.code, c.scale, a.posted as cash, a.held, h.*,
           greatest(least(a.posted, a.posted + h.value - h.initial - a.held), 0) as free into w
        from account a join asset c on c.id = a.asset_id cross join (
            select coalesce(sum(v.value), 0) as value,
                   coalesce(sum(div(abs(v.value) * v.initial_ppm + 999999, 1000000)), 0) as initial,
                   string_agg(v.symbol, ', ' order by v.symbol) filter (where v.closing is null) as unmarked,
                   string_agg(v.symbol, ', ' order by v.symbol) filter (where v.changes) as changing
            from (select r.symbol, (r.policy ->> 'initial_ppm')::bigint as initial_ppm, m.closing,
                         half_even(m.closing * r.lots * r.tick_size * r.lot_size * 10::numeric ^ r.currency_scale) as value,
                         exists (select 1 from corporate_action c where c.instrument_id = r.instrument_id and (
                             c.state = 'requested' or c.state = 'pending' and c.due_ts_ns <= m.ts_ns
                             or c.state = 'applied' and c.applied_ts_ns >= m.ts_ns)) as changes
                  from jsonb_to_recordset(margin_holdings(p_portfolio, p_asset)) r (instrument_id int, symbol text,
                      lots bigint, tick_size numeric, lot_size numeric, currency_scale int, policy jsonb)
                  cross join lateral (
                      select nullif((q ->> case when r.lots > 0 then 0 else 1 end)::numeric, 0) as closing,
                             (q ->> 2)::bigint as ts_ns
                      from (select p_marks -> r.instrument_id::text as q) quoted) m) v) h
        where a.portfolio_id = p_portfolio and a.asset_id = p_asset and a.kind = 'portfolio';
    return case
        when w.unmarked is not null then jsonb_build_object('v', 1, 'refused', 'no_mark', 'symbols', w.unmarked)
        when w.changing is not null then jsonb_build_object('v', 1, 'refused', 'corporate_action', 'symbols', w.changing)
        when w.free < p_amount then jsonb_build_object('v', 1, 'refused', 'insufficient_margin', 'available', w.free,
            'needed', p_amount, 'equity', w.cash + w.value, 'initial_requirement', w.initial, 'reserved', w.held,
            'asset', w.code, 'scale', w.scale) end;
end $$;

-- Margin accounts of the portfolios named, and with p_alive all that need watching: with a position, debt or a call.
drop function if exists margin_accounts(bigint[]);
create or replace function margin_accounts(p_portfolios bigint[], p_alive boolean) returns setof jsonb
language sql stable security definer set search_path = public as $$
    with picked as (
        select id, owner_id from portfolio
        where kind = 'margin' and archived_at is null and (p_alive or id = any (p_portfolios))),
    newest as materialized (
        select distinct on (instrument_id) * from instrument_version order by instrument_id, version desc),
    policies as materialized (
        select asset_class, margin_policy_of(asset_class) as policy
        from (select distinct asset_class from newest) classes),
    held as (
        select a.portfolio_id, v.currency_id, jsonb_agg(jsonb_build_object('instrument_id', v.instrument_id, 'version',
                v.version, 'lots', a.posted, 'asset_account', a.id, 'policy', m.policy) order by v.instrument_id) as holdings
        from account a join picked p on p.id = a.portfolio_id
        join newest v on v.asset_id = a.asset_id
        join policies m on m.asset_class = v.asset_class
        where a.kind = 'portfolio' and a.posted <> 0 group by 1, 2)
    select jsonb_build_object('portfolio_id', p.id, 'owner_id', p.owner_id, 'currency_id', c.id, 'cash_account', a.id,
            'cash', a.posted, 'state', coalesce(e.kind, 'met'), 'holdings', coalesce(h.holdings, '[]'))
        from picked p
        join account a on a.portfolio_id = p.id and a.kind = 'portfolio'
        join asset c on c.id = a.asset_id and c.kind = 'currency'
        left join lateral (select kind from margin_event where portfolio_id = p.id and currency_id = c.id
                           order by id desc limit 1) e on true
        left join held h on h.portfolio_id = p.id and h.currency_id = c.id
        where h.holdings is not null or a.posted < 0 or coalesce(e.kind, 'met') <> 'met' or p.id = any (p_portfolios)
        order by p.id, c.id;
$$;

-- Calls as the broker's inputs made them: history, trail and a word to the screens.
create or replace function write_margin_events(p jsonb) returns void language plpgsql security definer
set search_path = public as $$
begin
    insert into margin_event (portfolio_id, currency_id, kind, input_seq, ts_ns, equity, maintenance, close_out)
        select portfolio_id, currency_id, kind, input_seq, ts_ns, equity, maintenance, close_out
        from jsonb_populate_recordset(null::margin_event, p) order by input_seq;
    insert into audit (action, subject, result, origin, detail)
        select 'margin.' || (e ->> 'kind'), 'portfolio:' || (e ->> 'portfolio_id'), 'ok', 'broker',
               jsonb_build_object('v', 1) || e
        from jsonb_array_elements(p) e;
    insert into outbox (event)
        select jsonb_build_object('v', 1, 'topic', 'margin', 'portfolio_id', e -> 'portfolio_id', 'kind', e -> 'kind')
        from jsonb_array_elements(p) e;
end $$;

-- Orders by which the broker closes positions: with their holds, events and commands, as the desk writes its own. Their
-- accounts are locked by the batch. `p` are rows of orders with the account that holds what they close.
create or replace function write_margin_orders(p jsonb) returns void language plpgsql security definer
set search_path = public as $$
begin
    insert into orders (id, portfolio_id, instrument_id, instrument_version, limit_version, side, type, effect, tif,
                        quantity_lots, protection_ticks, reserve_ppm, reserve_ticks, state, actor_id, accepted_ts_ns,
                        updated_ts_ns)
    overriding system value
    select r.id, r.portfolio_id, r.instrument_id, r.instrument_version,
           (select max(id) from risk_limit), r.side, 'market', 'close', 'ioc',
           r.quantity_lots, r.protection_ticks, 0, 0, 'accepted', f.owner_id, r.ts_ns, r.ts_ns
        from jsonb_to_recordset(p) r (id bigint, portfolio_id bigint, instrument_id int, instrument_version int,
            side text, quantity_lots bigint, protection_ticks bigint, ts_ns bigint)
        join portfolio f on f.id = r.portfolio_id;
    with held as (
        insert into hold (order_id, leg, account_id, asset_id, amount)
            select r.id, 'asset', a.id, a.asset_id, r.quantity_lots
            from jsonb_to_recordset(p) r (id bigint, asset_account bigint, quantity_lots bigint)
            join account a on a.id = r.asset_account returning account_id, amount)
    update account a set held = a.held + h.amount
        from (select account_id, sum(amount) as amount from held group by account_id) h where a.id = h.account_id;
    insert into order_event (order_id, ts_ns, source, target, cause, actor, input_seq)
        select r.id, r.ts_ns, 'new', 'accepted', 'margin_close_out', 'system:margin', r.input_seq
        from jsonb_to_recordset(p) r (id bigint, ts_ns bigint, input_seq bigint) order by r.input_seq;
    insert into command (kind, order_id, payload, ts_ns, input_seq)
        select 'submit', (e ->> 'id')::bigint, jsonb_build_object('v', 1, 'actor', 'system:margin') || e,
               (e ->> 'ts_ns')::bigint, (e ->> 'input_seq')::bigint
        from jsonb_array_elements(p) e;
    insert into audit (action, subject, result, origin, detail)
        select 'margin.order', 'order:' || (e ->> 'id'), 'ok', 'broker', jsonb_build_object('v', 1) || e
        from jsonb_array_elements(p) e;
end $$;

-- A market's next policy.
create or replace function set_margin_policy(p_admin bigint, p_origin text, p jsonb) returns void language plpgsql
security definer set search_path = public as $$
begin
    insert into margin_policy (asset_class, version, initial_ppm, maintenance_long_ppm, maintenance_short_ppm,
                               close_out_ppm, close_band_ppm, source, set_by)
        select r.asset_class, coalesce((select max(version) from margin_policy where asset_class = r.asset_class), 0) + 1,
               r.initial_ppm, r.maintenance_long_ppm, r.maintenance_short_ppm, r.close_out_ppm, r.close_band_ppm,
               r.source, nullif(p_admin, 0)
        from jsonb_populate_record(null::margin_policy, p) r;
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_admin, 0), 'margin.set_policy',
        'market:' || (p ->> 'asset_class'), 'ok', p_origin, jsonb_build_object('v', 1) || p);
end $$;
