-- The desk: a ticket, a change or a cancel comes in; what it is judged on, and what is written when it is let through.
-- The functions with a generic plan find their rows by key, whatever the numbers: planning anew takes longer than running.

-- Idempotency: claims the key. Null when it is ours now; the stored answer when it was used with the same body.
-- A concurrent call with the same key waits here until the first has committed or failed.
create or replace function claim_key(p_user bigint, p_operation text, p_key text, p_hash bytea) returns jsonb
language plpgsql security definer set search_path = public as $$
declare
    known idempotency_key;
begin
    insert into idempotency_key (user_id, operation, key, request_hash) values (p_user, p_operation, p_key, p_hash)
        on conflict do nothing;
    if found then
        return null;
    end if;
    select * into known from idempotency_key where user_id = p_user and operation = p_operation and key = p_key;
    if known.request_hash <> p_hash then
        return jsonb_build_object('conflict', 'key_reused');
    end if;
    return jsonb_build_object('answer', known.answer);
end $$;

-- What the desk decides on. With p_lock the halt lock and the portfolio's accounts are held until the transaction ends.
create or replace function desk_context(p_user bigint, p_portfolio bigint, p_symbol text, p_venue text, p_lock boolean)
returns jsonb language plpgsql security definer set search_path = public
set plan_cache_mode = force_generic_plan as $$
declare
    v record;
    cash account;
    shares account;
begin
    if p_lock then
        perform pg_advisory_xact_lock_shared(7001);
    end if;
    -- Not from instrument_current: it would first find the newest version of every instrument.
    select i.symbol, i.venue, n.*, a.code as asset_code, a.scale as asset_scale, c.code as currency_code,
           c.scale as currency_scale into v
        from instrument i
        cross join lateral (select * from instrument_version where instrument_id = i.id order by version desc limit 1) n
        join asset a on a.id = n.asset_id join asset c on c.id = n.currency_id
        where i.venue = p_venue and i.symbol = p_symbol;
    if not found then
        return jsonb_build_object('unknown_instrument', true);
    end if;
    if p_lock then
        if (select count(*) from account where portfolio_id = p_portfolio and asset_id in (v.currency_id, v.asset_id)
            and kind = 'portfolio') < 2 then
            perform account_of(p_portfolio, v.currency_id);
            perform account_of(p_portfolio, v.asset_id);
        end if;
        perform 1 from account where portfolio_id = p_portfolio and asset_id in (v.currency_id, v.asset_id)
            and kind = 'portfolio' order by id for no key update;
    end if;
    select * into cash from account
        where portfolio_id = p_portfolio and asset_id = v.currency_id and kind = 'portfolio';
    select * into shares from account
        where portfolio_id = p_portfolio and asset_id = v.asset_id and kind = 'portfolio';
    return jsonb_build_object(
        'instrument', to_jsonb(v),
        'portfolio', (select jsonb_build_object('kind', kind, 'archived', archived_at is not null)
                      from portfolio where id = p_portfolio),
        'cash_account', cash.id, 'cash_available', coalesce(cash.posted - cash.held, 0),
        'asset_account', shares.id, 'position', coalesce(shares.posted, 0), 'position_held', coalesce(shares.held, 0),
        'open_orders', (select count(*) from orders where portfolio_id = p_portfolio
                        and state not in ('filled', 'rejected', 'cancelled', 'expired')),
        'limits', (select to_jsonb(r) from risk_limit r where portfolio_id = p_portfolio order by version desc limit 1),
        'action_waits', exists (select 1 from command where kind = 'action' and input_seq is null
                                and (payload ->> 'instrument_id')::int = v.instrument_id),
        'halt', (select jsonb_object_agg(scope, mode) from halt_state where scope in
                 ('floor', 'user:' || p_user, 'instrument:' || v.instrument_id)));
end $$;

-- First half of acceptance: the key, then everything the desk decides on, locked.
create or replace function desk_open(p_user bigint, p_operation text, p_key text, p_hash bytea, p_portfolio bigint, p_symbol text,
                          p_venue text)
returns jsonb language sql security definer set search_path = public as $$
    select coalesce(claim_key(p_user, p_operation, p_key, p_hash),
                    desk_context(p_user, p_portfolio, p_symbol, p_venue, true));
$$;

-- Second half of acceptance, for one order or a group: orders, holds, events, audit, command and answer, in the caller's
-- transaction. `p` is {"orders": [...]} in the order in which the exchange takes them: exits before their entry.
create or replace function desk_accept(p_user bigint, p_operation text, p_key text, p_origin text, p jsonb) returns jsonb
language plpgsql security definer set search_path = public
set plan_cache_mode = force_generic_plan as $$
declare
    many int := jsonb_array_length(p -> 'orders');
    ids bigint[];
    put orders[];
    main orders;
    owner bigint;
    cash bigint;
    payloads jsonb;
    reply jsonb;
begin
    select array_agg(nextval('orders_id_seq')) into ids from generate_series(1, many);
    with written as (
        insert into orders (id, portfolio_id, instrument_id, instrument_version, limit_version, side, type, effect, tif,
                            quantity_lots, limit_ticks, protection_ticks, stop_ticks, trail, trail_ppm, post_only,
                            expires_ns, group_id, group_role, state, actor_id, accepted_ts_ns, updated_ts_ns)
        overriding system value
        select ids[r.n], r.portfolio_id, r.instrument_id, r.instrument_version, r.limit_version, r.side, r.type,
               r.effect, r.tif, r.quantity_lots, r.limit_ticks, r.protection_ticks, r.stop_ticks, r.trail, r.trail_ppm,
               r.post_only, r.expires_ns, case when many > 1 then ids[1] end, r.role, 'accepted', p_user, r.ts_ns,
               r.ts_ns
        from rows from (jsonb_to_recordset(p -> 'orders') as (portfolio_id bigint, instrument_id int,
            instrument_version int, limit_version int, side text, type text, effect text, tif text, quantity_lots bigint,
            limit_ticks bigint, protection_ticks bigint, stop_ticks bigint, trail bigint, trail_ppm bigint,
            post_only boolean, expires_ns bigint, role text, ts_ns bigint)) with ordinality r
                (portfolio_id, instrument_id, instrument_version, limit_version, side, type, effect, tif, quantity_lots,
                 limit_ticks, protection_ticks, stop_ticks, trail, trail_ppm, post_only, expires_ns, role, ts_ns, n)
        returning orders)
    select array_agg(w.orders order by (w.orders).id) into put from written w;
    -- The answer speaks of the entry, or of the first of two that exclude each other.
    select u.* into main from unnest(put) u order by u.group_role = 'entry' desc, u.id limit 1;
    select owner_id into owner from portfolio where id = main.portfolio_id;
    with held as (
        insert into hold (order_id, leg, account_id, asset_id, amount)
            select ids[o.n], h.leg, h.account_id, a.asset_id, h.amount
            from jsonb_array_elements(p -> 'orders') with ordinality o (item, n)
            cross join jsonb_to_recordset(o.item -> 'holds') h (leg text, account_id bigint, amount bigint)
            join account a on a.id = h.account_id and a.portfolio_id = main.portfolio_id
            returning account_id, leg, amount),
    moved as (
        update account a set held = a.held + h.amount
            from (select account_id, sum(amount) as amount from held group by account_id) h
            where a.id = h.account_id)
    select coalesce(sum(amount) filter (where leg = 'cash'), 0) into cash from held;
    insert into order_event (order_id, ts_ns, source, target, cause, actor)
        select o.id, o.accepted_ts_ns, 'new', 'accepted', 'desk', 'user:' || p_user from unnest(put) o order by o.id;
    select jsonb_agg(jsonb_build_object(
        'v', 1, 'order_id', o.id, 'portfolio_id', o.portfolio_id, 'user_id', owner,
        'instrument_id', o.instrument_id, 'side', o.side, 'type', o.type, 'tif', o.tif,
        'quantity_lots', o.quantity_lots, 'limit_ticks', o.limit_ticks, 'protection_ticks', o.protection_ticks,
        'trigger', case when o.trail is not null then 'trail' when o.trail_ppm is not null then 'trail_ppm'
                        when o.stop_ticks is not null then 'stop' else '' end,
        'stop_ticks', coalesce(o.stop_ticks, 0), 'trail', coalesce(o.trail, o.trail_ppm, 0),
        'post_only', o.post_only, 'expires_ns', o.expires_ns,
        'link', case when o.group_role = 'entry' then 'entry'
                     when o.group_role = 'oco' then case when o.id = ids[1] then '' else 'oco' end
                     when o.group_role is null then ''
                     when o.id = ids[1] then 'held' else 'held_oco' end,
        'link_order_id', case when o.id = ids[1] then 0 else ids[1] end) order by o.id)
        into payloads from unnest(put) o;
    insert into command (kind, order_id, payload, ts_ns) values (
        case when many > 1 then 'group' else 'submit' end, main.id,
        case when many > 1 then jsonb_build_object('v', 1, 'orders', payloads) else payloads -> 0 end,
        main.accepted_ts_ns);
    reply := jsonb_build_object('v', 1, 'order_id', main.id, 'public_id', main.public_id, 'state', main.state,
        'quantity_lots', main.quantity_lots, 'protection_ticks', main.protection_ticks, 'cash_held', cash,
        'group', case when many > 1 then to_jsonb(ids) else '[]' end);
    insert into audit (user_id, action, subject, result, origin, detail)
        values (p_user, p_operation, 'order:' || main.id, 'ok', p_origin, reply);
    insert into outbox (event)
        select jsonb_build_object('v', 1, 'topic', 'order', 'portfolio_id', o.portfolio_id, 'order_id', o.id,
                                  'state', o.state)
        from unnest(put) o order by o.id;
    update idempotency_key set answer = reply where user_id = p_user and operation = p_operation and key = p_key;
    return reply;
end $$;

create or replace function desk_refuse(p_user bigint, p_operation text, p_key text, p_origin text, p_portfolio bigint, p_answer jsonb)
returns void language plpgsql security definer set search_path = public as $$
begin
    update idempotency_key set answer = p_answer where user_id = p_user and operation = p_operation and key = p_key;
    insert into audit (user_id, action, subject, result, code, origin, detail)
        values (p_user, p_operation, 'portfolio:' || p_portfolio, 'refused', p_answer ->> 'code', p_origin, p_answer);
end $$;

-- Orders that may trade in each other's place share one hold: it is kept under the first of them.
create or replace function holder_of(o orders) returns bigint language sql immutable as $$
    select case when o.group_role in ('take_profit', 'stop_loss', 'oco') then o.group_id else o.id end;
$$;

-- An open order as a change of it is judged on: its terms and what it did, its group, what is held for it, whether a
-- change of its group is still on its way to the exchange. Locks the accounts, then the order.
create or replace function desk_standing(p_user bigint, p_portfolio bigint, p_order bigint) returns jsonb
language plpgsql security definer set search_path = public as $$
declare
    o orders;
    context jsonb;
    v instrument_version;
begin
    select * into o from orders where id = p_order and portfolio_id = p_portfolio;
    if not found then
        return jsonb_build_object('unknown_order', true);
    end if;
    select desk_context(p_user, p_portfolio, i.symbol, i.venue, true) into context
        from instrument i where i.id = o.instrument_id;
    select * into o from orders where id = p_order for no key update;
    -- Units and fees are those of the version that the order was accepted on.
    select * into v from instrument_version where instrument_id = o.instrument_id and version = o.instrument_version;
    return context || jsonb_build_object(
        'instrument', (context -> 'instrument') || to_jsonb(v),
        'order', to_jsonb(o),
        'mates', (select coalesce(jsonb_agg(to_jsonb(m) order by m.id), '[]') from orders m
                  where m.group_id = o.group_id and m.id <> o.id
                  and m.state not in ('filled', 'rejected', 'cancelled', 'expired')),
        'holds', (select coalesce(jsonb_object_agg(h.leg, h.amount - h.used - h.released), '{}') from hold h
                  where h.order_id = holder_of(o)),
        'change_waits', exists (
            select 1 from command c where c.kind = 'modify' and c.input_seq is null
            and c.order_id in (select o.id union all select m.id from orders m where m.group_id = o.group_id)));
end $$;

create or replace function desk_open_change(p_user bigint, p_operation text, p_key text, p_hash bytea, p_portfolio bigint,
                                 p_order bigint)
returns jsonb language sql security definer set search_path = public as $$
    select coalesce(claim_key(p_user, p_operation, p_key, p_hash), desk_standing(p_user, p_portfolio, p_order));
$$;

-- New terms are on their way: what they need beyond what is held is held from now on, the order itself changes when the
-- exchange has taken them. `p` has the terms of the command and `holds` to add.
create or replace function desk_change(p_user bigint, p_operation text, p_key text, p_origin text, p jsonb) returns jsonb
language plpgsql security definer set search_path = public as $$
declare
    o orders;
    at_ns bigint := (p ->> 'ts_ns')::bigint;
    terms jsonb := p -> 'terms';
    reply jsonb;
begin
    select * into o from orders where id = (p ->> 'order_id')::bigint;
    insert into hold as h (order_id, leg, account_id, asset_id, amount)
        select holder_of(o), n.leg, n.account_id, a.asset_id, n.amount
        from jsonb_to_recordset(p -> 'holds') n (leg text, account_id bigint, amount bigint)
        join account a on a.id = n.account_id and a.portfolio_id = o.portfolio_id
        on conflict (order_id, leg) do update set amount = h.amount + excluded.amount, resolved = false;
    update account a set held = a.held + n.amount
        from jsonb_to_recordset(p -> 'holds') n (account_id bigint, amount bigint)
        where a.id = n.account_id and a.portfolio_id = o.portfolio_id;
    insert into order_event (order_id, ts_ns, source, target, cause, actor, detail)
        values (o.id, at_ns, o.state, o.state, 'modify', 'user:' || p_user, jsonb_build_object('v', 1, 'asked', terms));
    insert into command (kind, order_id, payload, ts_ns)
        values ('modify', o.id, jsonb_build_object('v', 1, 'order_id', o.id) || terms, at_ns);
    reply := jsonb_build_object('v', 1, 'order_id', o.id, 'public_id', o.public_id, 'state', o.state,
        'quantity_lots', terms -> 'quantity_lots', 'protection_ticks', terms -> 'limit_ticks',
        'cash_held', coalesce((select sum(n.amount) from jsonb_to_recordset(p -> 'holds') n (leg text, amount bigint)
                               where n.leg = 'cash'), 0),
        'group', '[]'::jsonb);
    insert into audit (user_id, action, subject, result, origin, detail)
        values (p_user, p_operation, 'order:' || o.id, 'ok', p_origin, reply);
    insert into outbox (event) values (jsonb_build_object('v', 1, 'topic', 'order', 'portfolio_id', o.portfolio_id,
        'order_id', o.id, 'state', o.state));
    update idempotency_key set answer = reply where user_id = p_user and operation = p_operation and key = p_key;
    return reply;
end $$;

-- Ask the broker to cancel. Returns null when asked (or asked before), else a code.
create or replace function desk_cancel(p_user bigint, p_origin text, p_portfolio bigint, p_order bigint, p_ts_ns bigint)
returns text language plpgsql security definer set search_path = public as $$
declare o orders;
begin
    select * into o from orders where id = p_order and portfolio_id = p_portfolio for no key update;
    if not found then
        return 'unknown_order';
    end if;
    if o.state = 'cancel_pending' then
        return null;
    end if;
    if not exists (select 1 from order_transition where source = o.state and target = 'cancel_pending') then
        return 'order_over';
    end if;
    update orders set state = 'cancel_pending', updated_ts_ns = p_ts_ns where id = p_order;
    insert into order_event (order_id, ts_ns, source, target, cause, actor)
        values (p_order, p_ts_ns, o.state, 'cancel_pending', 'cancel', 'user:' || p_user);
    insert into command (kind, order_id, payload, ts_ns)
        values ('cancel', p_order, jsonb_build_object('v', 1, 'order_id', p_order), p_ts_ns);
    insert into audit (user_id, action, subject, result, origin)
        values (p_user, 'desk.cancel', 'order:' || p_order, 'ok', p_origin);
    insert into outbox (event) values (jsonb_build_object('v', 1, 'topic', 'order', 'portfolio_id', p_portfolio,
        'order_id', p_order, 'state', 'cancel_pending'));
    return null;
end $$;
