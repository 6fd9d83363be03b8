-- Stops, trailing stops, brackets, one-cancels-other, times in force, and new terms for open orders.

alter table orders
    drop constraint orders_type_check,
    add constraint orders_type_check check (type in ('market', 'limit', 'stop', 'stop_limit', 'trailing_stop')),
    drop constraint orders_tif_check,
    add constraint orders_tif_check check (tif in ('day', 'gtc', 'gtd', 'ioc', 'fok')),
    drop constraint orders_check1,
    add constraint orders_limit check ((type in ('limit', 'stop_limit')) = (limit_ticks is not null)),
    add column stop_ticks bigint check (stop_ticks > 0),   -- of a trailing stop: where it would have been when accepted
    add column trail bigint check (trail > 0),             -- distance in ticks
    add column trail_ppm bigint check (trail_ppm between 1 and 999999),
    add column post_only boolean not null default false,
    add column expires_ns bigint,                          -- of gtd
    add column group_id bigint references orders,          -- the first order of its bracket or pair
    add column group_role text check (group_role in ('entry', 'take_profit', 'stop_loss', 'oco')),
    add constraint orders_stop check ((type in ('stop', 'stop_limit', 'trailing_stop')) = (stop_ticks is not null)),
    add constraint orders_trail check ((type = 'trailing_stop')::int = num_nonnulls(trail, trail_ppm)),
    add constraint orders_post_only check (not post_only or (type = 'limit' and tif in ('day', 'gtc', 'gtd'))),
    add constraint orders_expires check ((tif = 'gtd') = (expires_ns is not null)),
    add constraint orders_group check ((group_id is null) = (group_role is null));
create index orders_group_open on orders (group_id)
    where group_id is not null and state not in ('filled', 'rejected', 'cancelled', 'expired');

alter table command
    drop constraint command_kind_check,
    add constraint command_kind_check check (kind in ('submit', 'group', 'cancel', 'modify', 'halt', 'resume'));

-- Orders that may trade in each other's place share one hold: it is kept under the first of them.
create function holder_of(o orders) returns bigint language sql immutable as $$
    select case when o.group_role in ('take_profit', 'stop_loss', 'oco') then o.group_id else o.id end;
$$;

-- What was accepted is never rewritten; price and quantity move while the order is open, by the broker's batch alone,
-- and each change is an order_event with the old and the new terms.
create or replace function check_order_change() returns trigger language plpgsql security definer
set search_path = public as $$
begin
    if new.state <> old.state
       and not exists (select 1 from order_transition where source = old.state and target = new.state) then
        raise exception 'order %: % may not become %', old.id, old.state, new.state using errcode = 'TF004';
    end if;
    if (new.id, new.public_id, new.portfolio_id, new.instrument_id, new.instrument_version, new.limit_version, new.side,
        new.type, new.effect, new.tif, new.post_only, new.expires_ns, new.group_id, new.group_role, new.actor_id,
        new.accepted_ts_ns)
       is distinct from
       (old.id, old.public_id, old.portfolio_id, old.instrument_id, old.instrument_version, old.limit_version, old.side,
        old.type, old.effect, old.tif, old.post_only, old.expires_ns, old.group_id, old.group_role, old.actor_id,
        old.accepted_ts_ns) then
        raise exception 'order %: an accepted order is not rewritten', old.id using errcode = 'TF004';
    end if;
    if old.state in ('filled', 'rejected', 'cancelled', 'expired')
       and (new.quantity_lots, new.limit_ticks, new.protection_ticks, new.stop_ticks, new.trail, new.trail_ppm)
           is distinct from
           (old.quantity_lots, old.limit_ticks, old.protection_ticks, old.stop_ticks, old.trail, old.trail_ppm) then
        raise exception 'order %: an order that is over does not change', old.id using errcode = 'TF004';
    end if;
    return new;
end $$;

-- Second half of acceptance, for one order or a group: orders, holds, events, audit, command and answer, in the caller's
-- transaction. `p` is {"orders": [...]} in the order in which the exchange takes them: exits before their entry.
create or replace function desk_accept(p_user bigint, p_operation text, p_key text, p_origin text, p jsonb) returns jsonb
language plpgsql security definer set search_path = public as $$
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

-- An open order as a change of it is judged on: its terms and what it did, its group, what is held for it, whether a
-- change of its group is still on its way to the exchange. Locks the accounts, then the order.
create function desk_standing(p_user bigint, p_portfolio bigint, p_order bigint) returns jsonb
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

create function desk_open_change(p_user bigint, p_operation text, p_key text, p_hash bytea, p_portfolio bigint,
                                 p_order bigint)
returns jsonb language sql security definer set search_path = public as $$
    select coalesce(claim_key(p_user, p_operation, p_key, p_hash), desk_standing(p_user, p_portfolio, p_order));
$$;

-- New terms are on their way: what they need beyond what is held is held from now on, the order itself changes when the
-- exchange has taken them. `p` has the terms of the command and `holds` to add.
create function desk_change(p_user bigint, p_operation text, p_key text, p_origin text, p jsonb) returns jsonb
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

-- One statement for a batch of inputs and all their effects. Locks in this order: halt lock, lease, cursor, accounts
-- by id, orders by id. `p` holds arrays of records; see trading/adapters/postgres/broker_store.py.
-- Answers with the ids of its screen events, so that the broker publishes them itself, at once.
drop function commit_batch(bigint, bigint, bigint, int, bigint, bytea, bytea, bytea, jsonb);
create function commit_batch(p_epoch bigint, p_first bigint, p_last bigint, p_engine_rev int, p_ts_ns bigint,
                             p_inputs bytea, p_out_hash bytea, p_state_hash bytea, p jsonb)
returns bigint[] language plpgsql security definer set search_path = public as $$
declare
    changed int;
    told bigint[];
    holders bigint[];
    had jsonb;
begin
    if jsonb_array_length(p -> 'fills') > 0 then
        perform pg_advisory_xact_lock_shared(7001);
    end if;
    perform 1 from broker_lease where id = 1 and epoch = p_epoch for share;
    if not found then
        raise exception 'FENCED: epoch % is over', p_epoch using errcode = 'TF002';
    end if;
    update broker_cursor set input_seq = p_last, epoch = p_epoch, state_hash = p_state_hash
        where id = 1 and input_seq = p_first - 1;
    if not found then
        raise exception 'CURSOR: input % is not next', p_first using errcode = 'TF003';
    end if;
    insert into input_log (first_seq, last_seq, epoch, engine_rev, ts_ns, inputs, out_hash, state_hash)
        values (p_first, p_last, p_epoch, p_engine_rev, p_ts_ns, p_inputs, p_out_hash, p_state_hash);

    if jsonb_array_length(p -> 'commands') > 0 then
        update command c set input_seq = s.input_seq
            from jsonb_to_recordset(p -> 'commands') s (id bigint, input_seq bigint)
            where c.id = s.id and c.input_seq is null;
        get diagnostics changed = row_count;
        if changed <> jsonb_array_length(p -> 'commands') then
            raise exception 'CURSOR: a command was sequenced before' using errcode = 'TF003';
        end if;
    end if;
    if jsonb_array_length(p -> 'orders') = 0 then
        return '{}';
    end if;

    perform 1 from account where id in
        (select (a ->> 'id')::bigint from jsonb_array_elements(p -> 'accounts') a) order by id for no key update;
    perform 1 from orders where id in
        (select (o ->> 'id')::bigint from jsonb_array_elements(p -> 'orders') o) order by id for no key update;

    -- Only with fills: the kill switch's trigger is one for each statement, rows or none, and cancels must pass it.
    if jsonb_array_length(p -> 'fills') > 0 then
        insert into fill (order_id, input_seq, n, portfolio_id, instrument_id, instrument_version, fee_version, side,
                          price_ticks, quantity_lots, notional, fee, liquidity, why, group_id, ts_ns)
            select order_id, input_seq, n, portfolio_id, instrument_id, instrument_version, fee_version, side, price_ticks,
                   quantity_lots, notional, fee, liquidity, why, group_id, ts_ns
            from jsonb_populate_recordset(null::fill, p -> 'fills');
    end if;
    if jsonb_array_length(p -> 'transfers') > 0 then
        insert into transfer (group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, order_id, input_seq, n,
                              ts_ns)
            select group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, order_id, input_seq, n, ts_ns
            from jsonb_to_recordset(p -> 'transfers') t (group_id bigint, asset_id int, debit_id bigint, credit_id bigint,
                amount bigint, kind text, portfolio_id bigint, order_id bigint, input_seq bigint, n int, ts_ns bigint);
    end if;
    -- Holds first: grown by what an entry bought, used by fills, released; those that are over give back all they have
    -- left, with what the desk has added for a change that comes too late. Balances held follow them.
    select array_agg(distinct id) into holders from (
        select (h ->> 'order_id')::bigint as id from jsonb_array_elements(p -> 'holds') h
        union all select id::bigint from jsonb_array_elements_text(p -> 'over') id) named;
    select coalesce(jsonb_object_agg(account_id, left_over), '{}') into had from (
        select account_id, sum(amount - used - released) as left_over from hold where order_id = any (holders)
        group by account_id) before;
    insert into hold as h (order_id, leg, account_id, asset_id, amount)
        select d.order_id, d.leg, d.account_id, a.asset_id, d.grown
        from jsonb_to_recordset(p -> 'holds') d (order_id bigint, leg text, account_id bigint, grown bigint)
        join account a on a.id = d.account_id where d.grown > 0
        on conflict (order_id, leg) do update set amount = h.amount + excluded.amount;
    update hold h set used = h.used + d.used, released = h.released + d.released
        from jsonb_to_recordset(p -> 'holds') d (order_id bigint, leg text, used bigint, released bigint)
        where h.order_id = d.order_id and h.leg = d.leg and not h.resolved;
    get diagnostics changed = row_count;
    if changed <> jsonb_array_length(p -> 'holds') then
        raise exception 'a hold of the batch is missing or resolved' using errcode = 'TF006';
    end if;
    update hold h set released = h.amount - h.used, resolved = true
        from jsonb_array_elements_text(p -> 'over') o where h.order_id = o::bigint and not h.resolved;
    update account a set posted = a.posted + d.posted, held = a.held + coalesce(h.left_over, 0)
                         - coalesce((had ->> d.id::text)::bigint, 0)
        from jsonb_to_recordset(p -> 'accounts') d (id bigint, posted bigint) left join (
            select account_id, sum(amount - used - released)::bigint as left_over from hold
            where order_id = any (holders) group by account_id) h on h.account_id = d.id
        where a.id = d.id;
    get diagnostics changed = row_count;
    if changed <> jsonb_array_length(p -> 'accounts') then
        raise exception 'an account of the batch is missing' using errcode = 'TF006';
    end if;
    -- A cancel that was asked for meanwhile stays pending until the broker has sequenced it: fills may overtake it.
    insert into order_event (order_id, ts_ns, source, target, cause, actor, input_seq, detail)
        select e.order_id, e.ts_ns, case o.state when 'cancel_pending' then o.state else e.source end,
               case when o.state = 'cancel_pending' and e.target in
                    ('accepted', 'pending_trigger', 'working', 'partially_filled') then o.state else e.target end,
               e.cause, 'broker', e.input_seq, e.detail
        from rows from (jsonb_to_recordset(p -> 'events') as (order_id bigint, ts_ns bigint, source text, target text,
            cause text, input_seq bigint, detail jsonb)) with ordinality e
        join orders o on o.id = e.order_id
        order by e.ordinality;  -- ids must follow the order of events, whatever way the join takes
    update orders o set filled_lots = d.filled_lots, price_lots_sum = d.price_lots_sum, notional = d.notional,
           fee = d.fee, reason = d.reason, updated_ts_ns = d.ts_ns, quantity_lots = d.quantity_lots,
           limit_ticks = d.limit_ticks, protection_ticks = d.protection_ticks, stop_ticks = d.stop_ticks,
           trail = d.trail, trail_ppm = d.trail_ppm,
           state = case when o.state = 'cancel_pending' and d.state in
               ('accepted', 'pending_trigger', 'working', 'partially_filled') then o.state else d.state end
        from jsonb_to_recordset(p -> 'orders') d (id bigint, state text, filled_lots bigint, price_lots_sum numeric,
            notional bigint, fee bigint, reason text, ts_ns bigint, quantity_lots bigint, limit_ticks bigint,
            protection_ticks bigint, stop_ticks bigint, trail bigint, trail_ppm bigint)
        where o.id = d.id;
    get diagnostics changed = row_count;
    if changed <> jsonb_array_length(p -> 'orders') then
        raise exception 'an order of the batch is missing' using errcode = 'TF006';
    end if;
    if jsonb_array_length(p -> 'lots') > 0 then
        insert into lot (portfolio_id, instrument_id, order_id, input_seq, n, acquired_ts_ns, quantity_lots, remaining_lots,
                         cost, remaining_cost)
            select portfolio_id, instrument_id, order_id, input_seq, n, acquired_ts_ns, quantity_lots, quantity_lots, cost,
                   cost
            from jsonb_to_recordset(p -> 'lots') l (portfolio_id bigint, instrument_id int, order_id bigint, input_seq bigint,
                n int, acquired_ts_ns bigint, quantity_lots bigint, cost bigint);
    end if;
    if jsonb_array_length(p -> 'lot_closes') > 0 then
        -- A lot is named by the fill that opened it: it may be opened and closed in one batch.
        insert into lot_close (lot_id, order_id, input_seq, n, portfolio_id, disposed_ts_ns, quantity_lots, cost, proceeds)
            select l.id, c.order_id, c.input_seq, c.n, c.portfolio_id, c.disposed_ts_ns, c.quantity_lots, c.cost, c.proceeds
            from jsonb_to_recordset(p -> 'lot_closes') c (lot_order_id bigint, lot_input_seq bigint, lot_n int,
                order_id bigint, input_seq bigint, n int, portfolio_id bigint, disposed_ts_ns bigint, quantity_lots bigint,
                cost bigint, proceeds bigint)
            join lot l on l.order_id = c.lot_order_id and l.input_seq = c.lot_input_seq and l.n = c.lot_n;
        get diagnostics changed = row_count;
        if changed <> jsonb_array_length(p -> 'lot_closes') then
            raise exception 'a lot of the batch is missing' using errcode = 'TF006';
        end if;
        update lot l set remaining_lots = l.remaining_lots - d.quantity_lots, remaining_cost = l.remaining_cost - d.cost
            from (select lot_order_id, lot_input_seq, lot_n, sum(quantity_lots)::bigint as quantity_lots, sum(cost)::bigint as cost
                  from jsonb_to_recordset(p -> 'lot_closes') c (lot_order_id bigint, lot_input_seq bigint, lot_n int,
                      quantity_lots bigint, cost bigint) group by 1, 2, 3) d
            where l.order_id = d.lot_order_id and l.input_seq = d.lot_input_seq and l.n = d.lot_n;
    end if;
    with said as (insert into outbox (event) select e from jsonb_array_elements(p -> 'outbox') e returning id)
        select array_agg(id) into told from said;
    return told;
end $$;

-- Events for screens: marks those that the broker has published, then returns the others in order and marks them.
-- Redis may lose them, nothing of record depends on it; what a broker published and died before marking comes twice.
drop function publish_outbox(int);
create function publish_outbox(p_limit int, p_published bigint[]) returns setof jsonb
language sql security definer set search_path = public as $$
    with own as (update outbox set published_at = clock_timestamp() where id = any (p_published)),
    waiting as (
        select id from outbox where published_at is null and id <> all (p_published)
        order by id limit p_limit for update skip locked),
    done as (
        update outbox o set published_at = clock_timestamp() from waiting w where o.id = w.id returning o.id, o.event)
    select event from done order by id;
$$;

revoke execute on function holder_of, desk_standing, desk_open_change, desk_change, commit_batch, publish_outbox
    from public;
grant execute on function commit_batch, publish_outbox to tf_broker;
grant execute on function desk_open_change, desk_change to tf_app;
