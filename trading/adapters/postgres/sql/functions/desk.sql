-- The desk: a ticket, a change or a cancel comes in; what it is judged on, and what is written when it is let through.
-- The functions with a generic plan find their rows by key, whatever the numbers: planning anew takes longer than running,
-- and a plan that was made while a table was small would read all of it, sorted, however much it has grown.

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

-- Idempotency of the desk: whoever calls with a key has it alone until the transaction ends, and leaves its answer with
-- it (`answer_key`). Null when the key is new; else as `claim_key`. A concurrent call waits here for at most 1.5 s.
create or replace function open_key(p_user bigint, p_operation text, p_key text, p_hash bytea) returns jsonb
language plpgsql security definer set search_path = public set lock_timeout = '1500ms'
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    known record;
begin
    perform pg_advisory_xact_lock(hashtextextended(p_operation || ' ' || p_key, p_user));
    select request_hash, answer into known from idempotency_key
        where user_id = p_user and operation = p_operation and key = p_key;
    if not found then
        return null;
    end if;
    return case when known.request_hash <> p_hash then jsonb_build_object('conflict', 'key_reused')
                else jsonb_build_object('answer', known.answer) end;
end $$;

create or replace function answer_key(p_user bigint, p_operation text, p_key text, p_hash bytea, p_answer jsonb) returns void
language sql security definer set search_path = public as $$
    insert into idempotency_key (user_id, operation, key, request_hash, answer)
        values (p_user, p_operation, p_key, p_hash, p_answer);
$$;

-- A version of an instrument as services know it.
create or replace function instrument_terms(p_instrument int, p_version int) returns jsonb
language sql stable security definer set search_path = public as $$
    select to_jsonb(n) - 'profile' || jsonb_build_object(
        'symbol', i.symbol, 'venue', i.venue, 'asset_code', a.code, 'asset_scale', a.scale, 'currency_code', c.code,
        'currency_scale', c.scale)
    from instrument_version n join instrument i on i.id = n.instrument_id
    join asset a on a.id = n.asset_id join asset c on c.id = n.currency_id
    where n.instrument_id = p_instrument and n.version = p_version;
$$;

-- What the desk decides on. With p_lock the halt lock, the user's lock and the portfolio's accounts are held until the
-- transaction ends.
-- The instrument's terms are told where its newest version is not p_version, the one that the caller knows.
drop function if exists desk_context(bigint, bigint, text, text, boolean);
create or replace function desk_context(p_user bigint, p_portfolio bigint, p_instrument int, p_version int, p_lock boolean)
returns jsonb language plpgsql security definer set search_path = public set lock_timeout = '1500ms'
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off as $$
declare
    v record;
    found_accounts account[];
    cash account;
    shares account;
    epoch bigint;
begin
    if p_lock then
        perform pg_advisory_xact_lock_shared(7001);
        perform pg_advisory_xact_lock(7005, p_user::int);
    end if;
    -- Read first: what the rest rests on is at least as new.
    select n into epoch from rule_epoch;
    select version, asset_id, currency_id into v from instrument_version
        where instrument_id = p_instrument order by version desc limit 1;
    if not found then
        return jsonb_build_object('unknown_instrument', true);
    end if;
    if p_lock then
        -- Rows that were waited for come as they are after the wait.
        select array_agg(a) into found_accounts from (
            select * from account where portfolio_id = p_portfolio and asset_id in (v.currency_id, v.asset_id)
            and kind = 'portfolio' order by id for no key update) a;
        if coalesce(cardinality(found_accounts), 0) < 2 then
            perform account_of(p_portfolio, v.currency_id);
            perform account_of(p_portfolio, v.asset_id);
            return desk_context(p_user, p_portfolio, p_instrument, p_version, true);
        end if;
    else
        select array_agg(a) into found_accounts from account a where portfolio_id = p_portfolio
            and asset_id in (v.currency_id, v.asset_id) and kind = 'portfolio';
    end if;
    for n in 1 .. coalesce(cardinality(found_accounts), 0) loop
        if found_accounts[n].asset_id = v.currency_id then
            cash := found_accounts[n];
        else
            shares := found_accounts[n];
        end if;
    end loop;
    return jsonb_build_object(
        'epoch', epoch, 'instrument_id', p_instrument, 'version', v.version, 'currency_id', v.currency_id,
        'asset_id', v.asset_id,
        'instrument', case when v.version <> p_version then instrument_terms(p_instrument, v.version) end,
        'portfolio', (select jsonb_build_object('kind', kind, 'archived', archived_at is not null, 'owner_id', owner_id,
                          'margin', case kind when 'margin' then
                              margin_context(p_portfolio, v.currency_id, p_instrument) end)
                      from portfolio where id = p_portfolio),
        'cash_account', cash.id, 'cash_available', coalesce(cash.posted - cash.held, 0),
        'asset_account', shares.id, 'position', coalesce(shares.posted, 0), 'position_held', coalesce(shares.held, 0),
        'limits', desk_limits(p_user, p_portfolio, p_instrument),
        'action_waits', exists (select 1 from command where kind = 'action' and input_seq is null
                                and (payload ->> 'instrument_id')::int = p_instrument),
        'halt', (select jsonb_object_agg(scope, mode) from halt_state where scope in
                 ('floor', 'user:' || p_user, 'instrument:' || p_instrument, 'portfolio:' || p_portfolio)
                 or scope like 'strategy:%' and mode <> 'running'));
end $$;

-- First half of acceptance: the key, then everything the desk decides on, locked.
drop function if exists desk_open(bigint, text, text, bytea, bigint, text, text);
create or replace function desk_open(p_user bigint, p_operation text, p_key text, p_hash bytea, p_portfolio bigint,
                          p_instrument int, p_version int)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    known jsonb := open_key(p_user, p_operation, p_key, p_hash);
begin
    return coalesce(known, desk_context(p_user, p_portfolio, p_instrument, p_version, true));
end $$;

-- Second half of acceptance, for one order or a group: orders, holds, events, audit, command and answer, in the caller's
-- transaction. `p` is {"owner_id", "orders": [...]} in the order in which the exchange takes them: exits before their
-- entry. An order has the columns of its row and its holds. Each row is written by a statement of its own: for the one
-- to three orders of a ticket that is half the time of statements over sets. Without a key no answer is kept.
drop function if exists desk_accept(bigint, text, text, text, jsonb);
create or replace function desk_accept(p_user bigint, p_operation text, p_key text, p_hash bytea, p_origin text, p jsonb)
returns jsonb language plpgsql security definer set search_path = public
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    many constant int := jsonb_array_length(p -> 'orders');
    who constant text := 'user:' || p_user;
    item jsonb;
    h jsonb;
    o orders;
    main orders;
    ids bigint[];
    cash bigint := 0;
    payload jsonb;
    payloads jsonb := '[]';
    reply jsonb;
begin
    for n in 0 .. many - 1 loop
        item := p -> 'orders' -> n;
        o := jsonb_populate_record(null::orders, item);
        o.id := nextval('orders_id_seq');
        ids := ids || o.id;
        insert into orders (id, portfolio_id, instrument_id, instrument_version, limit_version, side, type, effect, tif,
                            quantity_lots, limit_ticks, protection_ticks, stop_ticks, trail, trail_ppm, post_only,
                            expires_ns, group_id, group_role, strategy, parent_id, child_n, reserve_ppm, reserve_ticks,
                            state, actor_id, accepted_ts_ns, updated_ts_ns)
            overriding system value
            values (o.id, o.portfolio_id, o.instrument_id, o.instrument_version, o.limit_version, o.side, o.type, o.effect,
                    o.tif, o.quantity_lots, o.limit_ticks, o.protection_ticks, o.stop_ticks, o.trail, o.trail_ppm,
                    o.post_only, o.expires_ns, case when many > 1 then ids[1] end, o.group_role, o.strategy, o.parent_id,
                    o.child_n, o.reserve_ppm, o.reserve_ticks, 'accepted', p_user, o.accepted_ts_ns, o.accepted_ts_ns)
            returning public_id into o.public_id;
        for k in 0 .. jsonb_array_length(item -> 'holds') - 1 loop
            h := item -> 'holds' -> k;
            update account set held = held + (h ->> 'amount')::bigint
                where id = (h ->> 'account_id')::bigint and portfolio_id = o.portfolio_id;
            if not found then
                raise exception 'a hold names an account of another portfolio' using errcode = 'TF006';
            end if;
            insert into hold (order_id, leg, account_id, asset_id, amount)
                values (o.id, h ->> 'leg', (h ->> 'account_id')::bigint, (h ->> 'asset_id')::int,
                        (h ->> 'amount')::bigint);
            if h ->> 'leg' = 'cash' then
                cash := cash + (h ->> 'amount')::bigint;
            end if;
        end loop;
        insert into order_event (order_id, ts_ns, source, target, cause, actor)
            values (o.id, o.accepted_ts_ns, 'new', 'accepted', 'desk', who);
        payload := jsonb_build_object(
            'v', 1, 'order_id', o.id, 'portfolio_id', o.portfolio_id, 'user_id', p -> 'owner_id',
            'instrument_id', o.instrument_id, 'side', o.side, 'type', o.type, 'tif', o.tif,
            'quantity_lots', o.quantity_lots, 'limit_ticks', o.limit_ticks, 'protection_ticks', o.protection_ticks,
            'trigger', case when o.trail is not null then 'trail' when o.trail_ppm is not null then 'trail_ppm'
                            when o.stop_ticks is not null then 'stop' else '' end,
            'stop_ticks', coalesce(o.stop_ticks, 0), 'trail', coalesce(o.trail, o.trail_ppm, 0),
            'post_only', o.post_only, 'expires_ns', o.expires_ns, 'strategy', o.strategy,
            'link', case when o.group_role = 'entry' then 'entry'
                         when o.group_role = 'oco' then case when n = 0 then '' else 'oco' end
                         when o.group_role is null then ''
                         when n = 0 then 'held' else 'held_oco' end,
            'link_order_id', case when n = 0 then 0 else ids[1] end);
        -- The answer speaks of the entry, or of the first of two that exclude each other.
        if n = 0 or o.group_role = 'entry' then
            main := o;
        end if;
        if many > 1 then
            payloads := payloads || payload;
        end if;
    end loop;
    if many > 1 then
        payload := jsonb_build_object('v', 1, 'orders', payloads);
    end if;
    insert into command (kind, order_id, payload, ts_ns)
        values (case when many > 1 then 'group' else 'submit' end, main.id, payload, main.accepted_ts_ns);
    reply := jsonb_build_object('v', 1, 'order_id', main.id, 'public_id', main.public_id, 'state', 'accepted',
        'quantity_lots', main.quantity_lots, 'protection_ticks', main.protection_ticks, 'cash_held', cash,
        'group', case when many > 1 then to_jsonb(ids) else '[]' end);
    insert into audit (user_id, action, subject, result, origin, detail)
        values (p_user, p_operation, 'order:' || main.id, 'ok', p_origin, reply);
    if p_key is not null then
        insert into idempotency_key (user_id, operation, key, request_hash, answer)
            values (p_user, p_operation, p_key, p_hash, reply);
    end if;
    return reply;
end $$;

-- All of acceptance in one call, for one order that was judged on what was remembered: nothing is read again but whether
-- a rule has changed since, and whether cash, shares and room for open orders are there, under the same locks. Null, or
-- error TF009, where that does not hold or the key was used before: nothing is written, the caller begins with `desk_open`.
--
-- It takes plain values and has no loops: an expression costs a microsecond in each transaction.
create or replace function desk_take(
    p_user bigint, p_operation text, p_key text, p_hash bytea, p_origin text, p_epoch bigint, p_most bigint,
    p_user_most bigint, p_portfolio bigint, p_instrument int, p_version int, p_limit_version int, p_side text, p_effect text,
    p_tif text, p_lots bigint, p_type text, p_protection bigint, p_limit bigint, p_stop bigint, p_trail bigint,
    p_trail_ppm bigint, p_post_only boolean, p_expires_ns bigint, p_strategy text, p_ts_ns bigint, p_payload jsonb,
    p_cash_account bigint, p_currency int, p_cash bigint, p_share_account bigint, p_asset int, p_shares bigint)
returns jsonb language plpgsql security definer set search_path = public set lock_timeout = '1500ms'
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    waited constant boolean := pg_advisory_xact_lock(hashtextextended(p_operation || ' ' || p_key, p_user)) is null
        or pg_advisory_xact_lock_shared(7001) is null or pg_advisory_xact_lock(7005, p_user::int) is null;
    order_no bigint;
    public_no text;
    reply jsonb;
begin
    select nextval('orders_id_seq'), 'ord_' || replace(uuidv7()::text, '-', '') into order_no, public_no
        where (select n from rule_epoch) = p_epoch
        and (p_most is null or (select open_orders from order_count where portfolio_id = p_portfolio) < p_most)
        and (p_user_most is null or (select sum(open_orders) from order_count where owner_id = p_user) < p_user_most);
    if not found then
        return null;
    end if;
    reply := jsonb_build_object('v', 1, 'order_id', order_no, 'public_id', public_no, 'state', 'accepted',
        'quantity_lots', p_lots, 'protection_ticks', p_protection, 'cash_held', p_cash, 'group', '[]'::jsonb);
    insert into idempotency_key (user_id, operation, key, request_hash, answer)
        values (p_user, p_operation, p_key, p_hash, reply) on conflict do nothing;
    if not found then
        return null;
    end if;
    if p_cash > 0 then
        update account set held = held + p_cash
            where id = p_cash_account and portfolio_id = p_portfolio and posted - held >= p_cash;
        if not found then
            raise exception 'what was remembered does not cover it' using errcode = 'TF009';
        end if;
    end if;
    if p_shares > 0 then
        update account set held = held + p_shares
            where id = p_share_account and portfolio_id = p_portfolio and posted - held >= p_shares;
        if not found then
            raise exception 'what was remembered does not cover it' using errcode = 'TF009';
        end if;
    end if;
    insert into orders (id, public_id, portfolio_id, instrument_id, instrument_version, limit_version, side, type, effect,
                        tif, quantity_lots, limit_ticks, protection_ticks, stop_ticks, trail, trail_ppm, post_only,
                        expires_ns, strategy, state, actor_id, accepted_ts_ns, updated_ts_ns)
        overriding system value
        values (order_no, public_no, p_portfolio, p_instrument, p_version, p_limit_version, p_side, p_type, p_effect, p_tif,
                p_lots, p_limit, p_protection, p_stop, p_trail, p_trail_ppm, p_post_only, p_expires_ns, p_strategy,
                'accepted', p_user, p_ts_ns, p_ts_ns);
    if p_cash > 0 then
        insert into hold (order_id, leg, account_id, asset_id, amount)
            values (order_no, 'cash', p_cash_account, p_currency, p_cash);
    end if;
    if p_shares > 0 then
        insert into hold (order_id, leg, account_id, asset_id, amount)
            values (order_no, 'asset', p_share_account, p_asset, p_shares);
    end if;
    insert into order_event (order_id, ts_ns, source, target, cause, actor)
        values (order_no, p_ts_ns, 'new', 'accepted', 'desk', 'user:' || p_user);
    insert into command (kind, order_id, payload, ts_ns) values ('submit', order_no, p_payload, p_ts_ns);
    insert into audit (user_id, action, subject, result, origin, detail)
        values (p_user, p_operation, 'order:' || order_no, 'ok', p_origin, reply);
    return reply;
end $$;

drop function if exists desk_refuse(bigint, text, text, text, bigint, jsonb);
create or replace function desk_refuse(p_user bigint, p_operation text, p_key text, p_hash bytea, p_origin text,
                            p_portfolio bigint, p_answer jsonb)
returns void language plpgsql security definer set search_path = public as $$
begin
    perform answer_key(p_user, p_operation, p_key, p_hash, p_answer);
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
begin
    select * into o from orders where id = p_order and portfolio_id = p_portfolio;
    if not found then
        return jsonb_build_object('unknown_order', true);
    end if;
    context := desk_context(p_user, p_portfolio, o.instrument_id, o.instrument_version, true);
    select * into o from orders where id = p_order for no key update;
    return context || jsonb_build_object(
        -- Units and fees are those of the version that the order was accepted on.
        'instrument', instrument_terms(o.instrument_id, o.instrument_version),
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
    select coalesce(open_key(p_user, p_operation, p_key, p_hash), desk_standing(p_user, p_portfolio, p_order));
$$;

-- New terms are on their way: what they need beyond what is held is held from now on, the order itself changes when the
-- exchange has taken them. `p` has the terms of the command and `holds` to add.
drop function if exists desk_change(bigint, text, text, text, jsonb);
create or replace function desk_change(p_user bigint, p_operation text, p_key text, p_hash bytea, p_origin text, p jsonb)
returns jsonb language plpgsql security definer set search_path = public as $$
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
    perform answer_key(p_user, p_operation, p_key, p_hash, reply);
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
