-- Server functions: what must happen in one transaction happens in one call.
-- Errors: TF001 HALTED, TF002 FENCED, TF003 CURSOR, TF004 illegal order change, TF005 history is kept, TF006 refused input.

-- The ledger account of a portfolio in an asset, made when first needed. Instruments are never short in a cash portfolio.
create function account_of(p_portfolio bigint, p_asset int) returns bigint language plpgsql security definer
set search_path = public as $$
declare found_id bigint;
begin
    select id into found_id from account where portfolio_id = p_portfolio and asset_id = p_asset and kind = 'portfolio';
    if found_id is null then
        insert into account (asset_id, kind, portfolio_id, floor_zero)
            select p_asset, 'portfolio', p_portfolio, p.kind = 'cash' from portfolio p where p.id = p_portfolio
            on conflict (portfolio_id, asset_id) where kind = 'portfolio' do nothing;
        select id into found_id from account
            where portfolio_id = p_portfolio and asset_id = p_asset and kind = 'portfolio';
    end if;
    return found_id;
end $$;

-- The floor's own accounts of an asset appear with the asset.
create function open_floor_accounts() returns trigger language plpgsql security definer set search_path = public as $$
begin
    insert into account (asset_id, kind, floor_zero) values (new.id, 'market', false);
    if new.kind = 'currency' then
        insert into account (asset_id, kind, floor_zero) values (new.id, 'fees', false), (new.id, 'deposits', false);
    end if;
    return null;
end $$;
create trigger asset_accounts after insert on asset for each row execute function open_floor_accounts();

-- Idempotency: claims the key. Null when it is ours now; the stored answer when it was used with the same body.
-- A concurrent call with the same key waits here until the first has committed or failed.
create function claim_key(p_user bigint, p_operation text, p_key text, p_hash bytea) returns jsonb
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
create function desk_context(p_user bigint, p_portfolio bigint, p_symbol text, p_venue text, p_lock boolean)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    v instrument_current;
    cash account;
    shares account;
begin
    if p_lock then
        perform pg_advisory_xact_lock_shared(7001);
    end if;
    select * into v from instrument_current where symbol = p_symbol and venue = p_venue;
    if not found then
        return jsonb_build_object('unknown_instrument', true);
    end if;
    if p_lock then
        perform account_of(p_portfolio, v.currency_id);
        perform account_of(p_portfolio, v.asset_id);
        perform 1 from account where portfolio_id = p_portfolio and asset_id in (v.currency_id, v.asset_id)
            order by id for no key update;
    end if;
    select * into cash from account where portfolio_id = p_portfolio and asset_id = v.currency_id;
    select * into shares from account where portfolio_id = p_portfolio and asset_id = v.asset_id;
    return jsonb_build_object(
        'instrument', to_jsonb(v) || jsonb_build_object(
            'asset_code', (select code from asset where id = v.asset_id),
            'asset_scale', (select scale from asset where id = v.asset_id),
            'currency_code', (select code from asset where id = v.currency_id),
            'currency_scale', (select scale from asset where id = v.currency_id)),
        'portfolio', (select jsonb_build_object('kind', kind, 'archived', archived_at is not null)
                      from portfolio where id = p_portfolio),
        'cash_account', cash.id, 'cash_available', coalesce(cash.posted - cash.held, 0),
        'asset_account', shares.id, 'position', coalesce(shares.posted, 0), 'position_held', coalesce(shares.held, 0),
        'open_orders', (select count(*) from orders where portfolio_id = p_portfolio
                        and state not in ('filled', 'rejected', 'cancelled', 'expired')),
        'limits', (select to_jsonb(r) from risk_limit r where portfolio_id = p_portfolio order by version desc limit 1),
        'halt', (select jsonb_object_agg(scope, mode) from halt_state where scope in
                 ('floor', 'user:' || p_user, 'instrument:' || v.instrument_id)));
end $$;

-- First half of acceptance: the key, then everything the desk decides on, locked.
create function desk_open(p_user bigint, p_operation text, p_key text, p_hash bytea, p_portfolio bigint, p_symbol text,
                          p_venue text)
returns jsonb language sql security definer set search_path = public as $$
    select coalesce(claim_key(p_user, p_operation, p_key, p_hash),
                    desk_context(p_user, p_portfolio, p_symbol, p_venue, true));
$$;

-- Second half: order, holds, event, audit, command and answer, in the caller's transaction.
create function desk_accept(p_user bigint, p_operation text, p_key text, p_origin text, p jsonb) returns jsonb
language plpgsql security definer set search_path = public as $$
declare
    o orders;
    reply jsonb;
begin
    insert into orders (portfolio_id, instrument_id, instrument_version, limit_version, side, type, effect, tif,
                        quantity_lots, limit_ticks, protection_ticks, state, actor_id, accepted_ts_ns, updated_ts_ns)
        select portfolio_id, instrument_id, instrument_version, limit_version, side, type, effect, tif, quantity_lots,
               limit_ticks, protection_ticks, 'accepted', p_user, ts_ns, ts_ns
        from jsonb_populate_record(null::orders, p) r, lateral (select (p ->> 'ts_ns')::bigint as ts_ns) t
        returning * into o;
    insert into hold (order_id, leg, account_id, asset_id, amount)
        select o.id, h.leg, h.account_id, a.asset_id, h.amount
        from jsonb_to_recordset(p -> 'holds') h (leg text, account_id bigint, amount bigint)
        join account a on a.id = h.account_id and a.portfolio_id = o.portfolio_id;
    update account a set held = a.held + h.amount
        from (select account_id, sum(amount) as amount from hold where order_id = o.id group by account_id) h
        where a.id = h.account_id;
    insert into order_event (order_id, ts_ns, source, target, cause, actor)
        values (o.id, o.accepted_ts_ns, 'new', 'accepted', 'desk', 'user:' || p_user);
    insert into command (kind, order_id, payload, ts_ns) values ('submit', o.id, jsonb_build_object(
        'v', 1, 'order_id', o.id, 'portfolio_id', o.portfolio_id,
        'user_id', (select owner_id from portfolio where id = o.portfolio_id),
        'instrument_id', o.instrument_id, 'side', o.side,
        'type', o.type, 'tif', o.tif, 'quantity_lots', o.quantity_lots, 'limit_ticks', o.limit_ticks,
        'protection_ticks', o.protection_ticks), o.accepted_ts_ns);
    reply := jsonb_build_object('v', 1, 'order_id', o.id, 'public_id', o.public_id, 'state', o.state,
        'quantity_lots', o.quantity_lots, 'protection_ticks', o.protection_ticks,
        'cash_held', coalesce((select amount from hold where order_id = o.id and leg = 'cash'), 0));
    insert into audit (user_id, action, subject, result, origin, detail)
        values (p_user, p_operation, 'order:' || o.id, 'ok', p_origin, reply);
    insert into outbox (event) values (jsonb_build_object('v', 1, 'topic', 'order', 'portfolio_id', o.portfolio_id,
        'order_id', o.id, 'state', o.state));
    update idempotency_key set answer = reply where user_id = p_user and operation = p_operation and key = p_key;
    return reply;
end $$;

create function desk_refuse(p_user bigint, p_operation text, p_key text, p_origin text, p_portfolio bigint, p_answer jsonb)
returns void language plpgsql security definer set search_path = public as $$
begin
    update idempotency_key set answer = p_answer where user_id = p_user and operation = p_operation and key = p_key;
    insert into audit (user_id, action, subject, result, code, origin, detail)
        values (p_user, p_operation, 'portfolio:' || p_portfolio, 'refused', p_answer ->> 'code', p_origin, p_answer);
end $$;

-- Ask the broker to cancel. Returns null when asked (or asked before), else a code.
create function desk_cancel(p_user bigint, p_origin text, p_portfolio bigint, p_order bigint, p_ts_ns bigint)
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

-- A deposit or a withdrawal: one transfer between the outside world and a portfolio, in its base currency.
create function post_cash(p_admin bigint, p_kind text, p_portfolio bigint, p_amount bigint, p_key text, p_hash bytea,
                          p_memo text, p_origin text, p_ts_ns bigint)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    known jsonb;
    reply jsonb;
    own bigint;
    outside bigint;
    currency int;
    group_no bigint;
    free bigint;
begin
    known := claim_key(p_admin, 'ledger.' || p_kind, p_key, p_hash);
    if known is not null then
        return known;
    end if;
    select currency_id into currency from portfolio where id = p_portfolio and archived_at is null;
    if not found then
        raise exception 'no such portfolio' using errcode = 'TF006';
    end if;
    own := account_of(p_portfolio, currency);
    select id into outside from account where kind = 'deposits' and asset_id = currency;
    select posted - held into free from account where id = own for no key update;
    if p_kind = 'withdrawal' and free < p_amount then
        reply := jsonb_build_object('v', 1, 'refused', 'insufficient_cash', 'available', free);
        update idempotency_key set answer = reply
            where user_id = p_admin and operation = 'ledger.' || p_kind and key = p_key;
        insert into audit (user_id, action, subject, result, code, origin, detail) values (p_admin, 'ledger.' || p_kind,
            'portfolio:' || p_portfolio, 'refused', 'insufficient_cash', p_origin, reply);
        return jsonb_build_object('answer', reply);
    end if;
    group_no := nextval('transfer_group');
    insert into transfer (group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, ts_ns, actor_id, memo)
        values (group_no, currency, case p_kind when 'deposit' then outside else own end,
                case p_kind when 'deposit' then own else outside end, p_amount, p_kind, p_portfolio, p_ts_ns,
                nullif(p_admin, 0), p_memo);
    update account set posted = posted + case p_kind when 'deposit' then p_amount else -p_amount end where id = own;
    reply := jsonb_build_object('v', 1, 'group_id', group_no);
    update idempotency_key set answer = reply where user_id = p_admin and operation = 'ledger.' || p_kind and key = p_key;
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_admin, 0), 'ledger.' || p_kind,
        'portfolio:' || p_portfolio, 'ok', p_origin, reply || jsonb_build_object('amount', p_amount, 'memo', p_memo));
    insert into outbox (event) values (jsonb_build_object('v', 1, 'topic', 'cash', 'portfolio_id', p_portfolio));
    return jsonb_build_object('answer', reply);
end $$;

-- The kill switch: exclusive lock, the row and its command, nothing else but the trail.
create function set_halt(p_actor bigint, p_scope text, p_mode text, p_reason text, p_origin text, p_ts_ns bigint)
returns void language plpgsql security definer set search_path = public as $$
begin
    perform pg_advisory_xact_lock(7001);
    insert into halt_state (scope, mode, reason, set_by, ts_ns) values (p_scope, p_mode, p_reason, nullif(p_actor, 0), p_ts_ns)
        on conflict (scope) do update set mode = excluded.mode, reason = excluded.reason, set_by = excluded.set_by,
            ts_ns = excluded.ts_ns;
    insert into command (kind, payload, ts_ns) values (case p_mode when 'running' then 'resume' else 'halt' end,
        jsonb_build_object('v', 1, 'scope', p_scope, 'mode', p_mode), p_ts_ns);
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0), 'halt.set', p_scope,
        'ok', p_origin, jsonb_build_object('v', 1, 'mode', p_mode, 'reason', p_reason));
end $$;

-- The broker -----------------------------------------------------------------------------------------------------------

create function take_lease(p_holder text, p_ttl_s double precision) returns bigint
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

create function renew_lease(p_epoch bigint, p_ttl_s double precision) returns boolean
language plpgsql security definer set search_path = public as $$
begin
    update broker_lease set expires_at = clock_timestamp() + make_interval(secs => p_ttl_s)
        where id = 1 and epoch = p_epoch;
    return found;
end $$;

-- One statement for a batch of inputs and all their effects. Locks in this order: halt lock, lease, cursor, accounts
-- by id, orders by id. `p` holds arrays of records; see trading/adapters/postgres/broker_store.py.
create function commit_batch(p_epoch bigint, p_first bigint, p_last bigint, p_engine_rev int, p_ts_ns bigint,
                             p_inputs bytea, p_out_hash bytea, p_state_hash bytea, p jsonb)
returns void language plpgsql security definer set search_path = public as $$
declare
    changed int;
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
        return;
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
    insert into transfer (group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, order_id, input_seq, n, ts_ns)
        select group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, order_id, input_seq, n, ts_ns
        from jsonb_to_recordset(p -> 'transfers') t (group_id bigint, asset_id int, debit_id bigint, credit_id bigint,
            amount bigint, kind text, portfolio_id bigint, order_id bigint, input_seq bigint, n int, ts_ns bigint);
    update account a set posted = a.posted + d.posted, held = a.held + d.held
        from jsonb_to_recordset(p -> 'accounts') d (id bigint, posted bigint, held bigint) where a.id = d.id;
    get diagnostics changed = row_count;
    if changed <> jsonb_array_length(p -> 'accounts') then
        raise exception 'an account of the batch is missing' using errcode = 'TF006';
    end if;
    update hold h set used = h.used + d.used, released = h.released + d.released, resolved = d.resolved
        from jsonb_to_recordset(p -> 'holds') d (order_id bigint, leg text, used bigint, released bigint, resolved boolean)
        where h.order_id = d.order_id and h.leg = d.leg and not h.resolved;
    get diagnostics changed = row_count;
    if changed <> jsonb_array_length(p -> 'holds') then
        raise exception 'a hold of the batch is missing or resolved' using errcode = 'TF006';
    end if;
    -- A cancel that was asked for meanwhile stays pending until the broker has sequenced it: fills may overtake it.
    insert into order_event (order_id, ts_ns, source, target, cause, actor, input_seq, detail)
        select e.order_id, e.ts_ns, case o.state when 'cancel_pending' then o.state else e.source end,
               case when o.state = 'cancel_pending' and e.target in ('working', 'partially_filled') then o.state
                    else e.target end,
               e.cause, 'broker', e.input_seq, e.detail
        from rows from (jsonb_to_recordset(p -> 'events') as (order_id bigint, ts_ns bigint, source text, target text,
            cause text, input_seq bigint, detail jsonb)) with ordinality e
        join orders o on o.id = e.order_id
        order by e.ordinality;  -- ids must follow the order of events, whatever way the join takes
    update orders o set filled_lots = d.filled_lots, price_lots_sum = d.price_lots_sum, notional = d.notional,
           fee = d.fee, reason = d.reason, updated_ts_ns = d.ts_ns,
           state = case when o.state = 'cancel_pending' and d.state in ('working', 'partially_filled') then o.state
                        else d.state end
        from jsonb_to_recordset(p -> 'orders') d (id bigint, state text, filled_lots bigint, price_lots_sum numeric,
            notional bigint, fee bigint, reason text, ts_ns bigint)
        where o.id = d.id;
    get diagnostics changed = row_count;
    if changed <> jsonb_array_length(p -> 'orders') then
        raise exception 'an order of the batch is missing' using errcode = 'TF006';
    end if;
    insert into lot (portfolio_id, instrument_id, order_id, input_seq, n, acquired_ts_ns, quantity_lots, remaining_lots,
                     cost, remaining_cost)
        select portfolio_id, instrument_id, order_id, input_seq, n, acquired_ts_ns, quantity_lots, quantity_lots, cost, cost
        from jsonb_to_recordset(p -> 'lots') l (portfolio_id bigint, instrument_id int, order_id bigint, input_seq bigint,
            n int, acquired_ts_ns bigint, quantity_lots bigint, cost bigint);
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
    insert into outbox (event) select e from jsonb_array_elements(p -> 'outbox') e;
end $$;

create function save_snapshot(p_epoch bigint, p_seq bigint, p_engine_rev int, p_ts_ns bigint, p_state bytea, p_hash bytea)
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
create function drop_archived_log(p_file bigint, p_last bigint) returns bigint
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

-- Events for screens: returned in order and marked; Redis may lose them, nothing of record depends on it.
create function publish_outbox(p_limit int) returns setof jsonb
language sql security definer set search_path = public as $$
    with waiting as (
        select id from outbox where published_at is null order by id limit p_limit for update skip locked),
    done as (
        update outbox o set published_at = clock_timestamp() from waiting w where o.id = w.id returning o.id, o.event)
    select event from done order by id;
$$;

-- Seals transfers whose transactions are all over into one block of the hash chain.
create function seal_block(p_now timestamptz) returns bigint language plpgsql security definer set search_path = public as $$
declare
    last ledger_block;
    horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
    leaves bytea;
    many bigint;
begin
    perform pg_advisory_xact_lock(7002);
    select * into last from ledger_block order by id desc limit 1;
    select sha256(coalesce(string_agg(leaf, ''::bytea order by id), ''::bytea)), count(*) into leaves, many
        from transfer where xid >= coalesce(last.xid_to, '0'::xid8) and xid < horizon;
    if many = 0 then
        return null;
    end if;
    insert into ledger_block (id, xid_from, xid_to, transfers, root, prev_hash, hash, sealed_at)
        values (coalesce(last.id, 0) + 1, coalesce(last.xid_to, '0'::xid8), horizon, many, leaves,
                coalesce(last.hash, ''::bytea), sha256(coalesce(last.hash, ''::bytea) || leaves), p_now);
    return coalesce(last.id, 0) + 1;
end $$;

-- One mark of a portfolio's worth; the flow is what came in or went out since the mark before.
create function mark_equity(p_portfolio bigint, p_ts_ns bigint, p_cash bigint, p_positions bigint) returns void
language plpgsql security definer set search_path = public as $$
declare before bigint;
begin
    select coalesce(max(ts_ns), 0) into before from equity_mark where portfolio_id = p_portfolio;
    insert into equity_mark (portfolio_id, ts_ns, equity, cash, positions, flow)
        select p_portfolio, p_ts_ns, p_cash + p_positions, p_cash, p_positions, coalesce((
            select sum(case kind when 'deposit' then amount else -amount end) from transfer
            where portfolio_id = p_portfolio and kind in ('deposit', 'withdrawal') and ts_ns > before and ts_ns <= p_ts_ns), 0)
        on conflict do nothing;
end $$;

-- Portfolios that the user of the set session token may observe.
create function observer_portfolios() returns setof bigint language sql stable security definer
set search_path = public as $$
    select g.portfolio_id
    from app_session s
    join app_user u on u.id = s.user_id and u.disabled_at is null and u.role = 'observer'
    join portfolio_grant g on g.observer_id = u.id
    where s.token_hash = sha256(convert_to(current_setting('tradefloor.session', true), 'UTF8'))
      and s.revoked_at is null and s.expires_at > now();
$$;

insert into halt_state (scope, mode, reason, ts_ns) values ('floor', 'running', 'first start', 0);
