-- The one broker: its lease, its batches, its snapshots and its log.

create or replace function take_lease(p_holder text, p_ttl_s double precision) returns bigint
language plpgsql security definer set search_path = public as $$
declare mine bigint;
begin
    insert into broker_lease (id, epoch, holder, expires_at) values (1, 0, '', '-infinity') on conflict do nothing;
    insert into broker_cursor (id, input_seq, epoch, state_hash) values (1, 0, 0, '') on conflict do nothing;
    update broker_lease set epoch = epoch + 1, holder = p_holder,
           expires_at = clock_timestamp() + make_interval(secs => p_ttl_s)
        where id = 1 and expires_at < clock_timestamp() returning epoch into mine;
    return mine;
end $$;

create or replace function renew_lease(p_epoch bigint, p_ttl_s double precision) returns boolean
language plpgsql security definer set search_path = public as $$
begin
    update broker_lease set expires_at = clock_timestamp() + make_interval(secs => p_ttl_s)
        where id = 1 and epoch = p_epoch;
    return found;
end $$;

-- One statement for a batch of inputs and all their effects. Locks in this order: halt lock, lease, cursor, accounts
-- by id, orders by id. `p` holds arrays of records; see trading/adapters/postgres/broker_store.py.
-- Answers with the ids of its screen events, so that the broker publishes them itself, at once.
do $$
begin
    if (select prorettype from pg_proc where proname = 'commit_batch') = 'void'::regtype then
        drop function commit_batch(bigint, bigint, bigint, int, bigint, bytea, bytea, bytea, jsonb);
    end if;
end $$;
create or replace function commit_batch(p_epoch bigint, p_first bigint, p_last bigint, p_engine_rev int, p_ts_ns bigint,
                             p_inputs bytea, p_out_hash bytea, p_state_hash bytea, p jsonb)
returns bigint[] language plpgsql security definer set search_path = public
-- Every row is found by its key, whatever the plan was made with: a batch has one row or fifty, the tables have millions.
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set enable_bitmapscan = off as $$
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
    if jsonb_array_length(p -> 'margin_events') > 0 then
        perform write_margin_events(p -> 'margin_events');
    end if;
    if jsonb_array_length(p -> 'orders') = 0 and jsonb_array_length(p -> 'actions') = 0 then
        return '{}';
    end if;

    perform 1 from account where id in
        (select (a ->> 'id')::bigint from jsonb_array_elements(p -> 'accounts') a) order by id for no key update;
    perform 1 from orders where id in
        (select (o ->> 'id')::bigint from jsonb_array_elements(p -> 'orders') o) order by id for no key update;

    if jsonb_array_length(p -> 'margin_orders') > 0 then
        perform write_margin_orders(p -> 'margin_orders');
    end if;
    -- Only with fills: the kill switch's trigger is one for each statement, rows or none, and cancels must pass it.
    if jsonb_array_length(p -> 'fills') > 0 then
        insert into fill (order_id, input_seq, n, portfolio_id, instrument_id, instrument_version, fee_version, side,
                          price_ticks, quantity_lots, notional, fee, tax, charges, liquidity, why, group_id, ts_ns)
            select order_id, input_seq, n, portfolio_id, instrument_id, instrument_version, fee_version, side, price_ticks,
                   quantity_lots, notional, fee, coalesce(tax, 0), coalesce(charges, '[]'), liquidity, why, group_id,
                   ts_ns
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
    if jsonb_path_exists(p, '$.holds[*] ? (@.grown > 0)') then
        insert into hold as h (order_id, leg, account_id, asset_id, amount)
            select d.order_id, d.leg, d.account_id, a.asset_id, d.grown
            from jsonb_to_recordset(p -> 'holds') d (order_id bigint, leg text, account_id bigint, grown bigint)
            join account a on a.id = d.account_id where d.grown > 0
            on conflict (order_id, leg) do update set amount = h.amount + excluded.amount;
    end if;
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
                         cost, remaining_cost, short)
            select portfolio_id, instrument_id, order_id, input_seq, n, acquired_ts_ns, quantity_lots, quantity_lots, cost,
                   cost, short
            from jsonb_to_recordset(p -> 'lots') l (portfolio_id bigint, instrument_id int, order_id bigint, input_seq bigint,
                n int, acquired_ts_ns bigint, quantity_lots bigint, cost bigint, short boolean);
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
        update lot l set remaining_lots = l.remaining_lots - d.quantity_lots,
               remaining_cost = l.remaining_cost - case when l.short then d.proceeds else d.cost end
            from (select lot_order_id, lot_input_seq, lot_n, sum(quantity_lots)::bigint as quantity_lots, sum(cost)::bigint as cost,
                         sum(proceeds)::bigint as proceeds
                  from jsonb_to_recordset(p -> 'lot_closes') c (lot_order_id bigint, lot_input_seq bigint, lot_n int,
                      quantity_lots bigint, cost bigint, proceeds bigint) group by 1, 2, 3) d
            where l.order_id = d.lot_order_id and l.input_seq = d.lot_input_seq and l.n = d.lot_n;
    end if;
    if jsonb_array_length(p -> 'actions') > 0 then
        perform book_actions(p -> 'actions');
    end if;
    with said as (insert into outbox (event) select e from jsonb_array_elements(p -> 'outbox') e returning id)
        select array_agg(id) into told from said;
    return told;
end $$;

-- Events for screens: marks those that the broker has published, then returns the others in order and marks them.
-- Redis may lose them, nothing of record depends on it; what a broker published and died before marking comes twice.
drop function if exists publish_outbox(int);
create or replace function publish_outbox(p_limit int, p_published bigint[]) returns setof jsonb
language sql security definer set search_path = public as $$
    with own as (update outbox set published_at = clock_timestamp() where id = any (p_published)),
    waiting as (
        select id from outbox where published_at is null and id <> all (p_published)
        order by id limit p_limit for update skip locked),
    done as (
        update outbox o set published_at = clock_timestamp() from waiting w where o.id = w.id returning o.id, o.event)
    select event from done order by id;
$$;

create or replace function save_snapshot(p_epoch bigint, p_seq bigint, p_engine_rev int, p_ts_ns bigint, p_state bytea, p_hash bytea)
returns void language plpgsql security definer set search_path = public as $$
begin
    perform 1 from broker_lease where id = 1 and epoch = p_epoch for share;
    if not found then
        raise exception 'FENCED: epoch % is over', p_epoch using errcode = 'TF002';
    end if;
    insert into snapshot (input_seq, engine_rev, ts_ns, state, state_hash)
        values (p_seq, p_engine_rev, p_ts_ns, p_state, p_hash) on conflict do nothing;
    delete from snapshot where not kept and input_seq < (select min(input_seq) from
        (select input_seq from snapshot order by input_seq desc limit 20) newest);
end $$;

-- Drops the log up to a snapshot, once its segment lies in the lake and has been read back: the caller names the
-- manifest row, and the row must cover every input that goes. The snapshot stays, as the start of the next replay.
create or replace function drop_archived_log(p_file bigint, p_last bigint) returns bigint
language plpgsql security definer set search_path = public as $$
declare
    first bigint;
    dropped bigint;
begin
    select min(first_seq) into first from input_log;
    if not exists (select 1 from lake_file where id = p_file and dataset = 'log_segments' and retired_at is null
                   and (meta ->> 'first_seq')::bigint <= first and (meta ->> 'last_seq')::bigint = p_last)
       or not exists (select 1 from snapshot where input_seq = p_last) then
        raise exception 'no segment covers inputs % to %', first, p_last using errcode = 'TF006';
    end if;
    update snapshot set kept = (input_seq = p_last) where kept or input_seq = p_last;
    delete from input_log where last_seq <= p_last;
    get diagnostics dropped = row_count;
    return dropped;
end $$;
