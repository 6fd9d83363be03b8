-- Who may do what. Tables belong to tf_owner, which can't log in; nobody who can log in may edit history.

-- The kill switch: whoever inserts an order or a fill takes the halt lock shared and reads the state, whether the code
-- remembered to ask or not. VOLATILE and READ COMMITTED: each statement inside sees what has been committed by then.

create function refuse_when_halted() returns trigger language plpgsql volatile security definer
set search_path = public as $$
declare
    floor_mode text;
    stopped text;
begin
    perform pg_advisory_xact_lock_shared(7001);
    select mode into floor_mode from halt_state where scope = 'floor';
    if floor_mode is null or floor_mode = 'halted' then
        raise exception 'HALTED: floor' using errcode = 'TF001';
    end if;
    if tg_table_name = 'orders' then
        select h.scope into stopped from new_rows n
            join portfolio p on p.id = n.portfolio_id
            join halt_state h on h.scope in ('floor', 'user:' || p.owner_id, 'instrument:' || n.instrument_id)
            where h.mode = 'halted' or (h.mode = 'reducing' and n.effect = 'open') limit 1;
    else
        select h.scope into stopped from new_rows n
            join portfolio p on p.id = n.portfolio_id
            join halt_state h on h.scope in ('user:' || p.owner_id, 'instrument:' || n.instrument_id)
            where h.mode = 'halted' limit 1;
    end if;
    if stopped is not null then
        raise exception 'HALTED: %', stopped using errcode = 'TF001';
    end if;
    return null;
end $$;

create trigger orders_halt after insert on orders
    referencing new table as new_rows for each statement execute function refuse_when_halted();
create trigger fill_halt after insert on fill
    referencing new table as new_rows for each statement execute function refuse_when_halted();

-- Order states move by the one table; what was accepted is never rewritten.

create function check_order_change() returns trigger language plpgsql security definer set search_path = public as $$
begin
    if new.state <> old.state
       and not exists (select 1 from order_transition where source = old.state and target = new.state) then
        raise exception 'order %: % may not become %', old.id, old.state, new.state using errcode = 'TF004';
    end if;
    if (new.id, new.public_id, new.portfolio_id, new.instrument_id, new.instrument_version, new.limit_version, new.side,
        new.type, new.effect, new.tif, new.quantity_lots, new.limit_ticks, new.protection_ticks, new.actor_id,
        new.accepted_ts_ns)
       is distinct from
       (old.id, old.public_id, old.portfolio_id, old.instrument_id, old.instrument_version, old.limit_version, old.side,
        old.type, old.effect, old.tif, old.quantity_lots, old.limit_ticks, old.protection_ticks, old.actor_id,
        old.accepted_ts_ns) then
        raise exception 'order %: an accepted order is not rewritten', old.id using errcode = 'TF004';
    end if;
    return new;
end $$;
create trigger orders_change before update on orders for each row execute function check_order_change();

-- History can't be edited, by anyone who can log in.

create function refuse_edit() returns trigger language plpgsql as $$
begin
    raise exception '% on % is not allowed: history is kept', tg_op, tg_table_name using errcode = 'TF005';
end $$;
do $$
declare t text;
begin
    foreach t in array array['transfer', 'fill', 'order_event', 'audit', 'ledger_block', 'lot_close', 'reconciliation']
    loop
        execute format('create trigger %I before update or delete or truncate on %I
                        for each statement execute function refuse_edit()', t || '_kept', t);
    end loop;
end $$;

-- Grants -------------------------------------------------------------------------------------------------------------

grant usage on schema public to tf_app, tf_broker, tf_observer;

grant select on all tables in schema public to tf_app, tf_broker;
grant insert on app_user, app_session, login_attempt, portfolio, portfolio_grant, asset, instrument, instrument_version,
    risk_limit, idempotency_key, audit, process_status, setting, lake_file, ingest_report, reconciliation, equity_mark
    to tf_app;
grant update (password_hash, role, display_name, disabled_at, token_version) on app_user to tf_app;
grant update (revoked_at, expires_at) on app_session to tf_app;
grant update on login_attempt, process_status, setting to tf_app;
grant update (archived_at, name) on portfolio to tf_app;
grant update (retired_at, meta) on lake_file to tf_app;
grant update (answer) on idempotency_key to tf_app;
grant delete on portfolio_grant, login_attempt, app_session to tf_app;
-- Needed for `for share`/`for update` row locks of services only where a function below does not take them.
grant execute on function desk_open, desk_context, desk_accept, desk_refuse, desk_cancel, post_cash, set_halt, account_of, seal_block, mark_equity,
    drop_archived_log to tf_app;

grant execute on function commit_batch, take_lease, renew_lease, save_snapshot, seal_block, publish_outbox,
    mark_equity, set_halt to tf_broker;
grant usage on sequence transfer_group to tf_broker;
grant update (detail) on process_status to tf_broker;

revoke execute on all functions in schema public from public;
grant execute on function observer_portfolios to tf_observer;

-- Observers: SELECT alone, and only the portfolios granted to the user of the session whose token is set.

grant select on app_user, portfolio, portfolio_grant, asset, instrument, instrument_version, instrument_current, account,
    transfer, orders, order_event, hold, fill, lot, lot_close, equity_mark to tf_observer;
revoke select on app_user from tf_observer;
grant select (id, public_id, username, display_name, role) on app_user to tf_observer;

do $$
declare t text;
begin
    foreach t in array array['portfolio', 'portfolio_grant', 'account', 'transfer', 'orders', 'fill', 'lot', 'lot_close',
                             'equity_mark']
    loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy %I on %I for all to tf_app, tf_broker using (true) with check (true)', t || '_staff', t);
        execute format('create policy %I on %I for select to tf_observer using (%I = any (array(select observer_portfolios())))',
                       t || '_observer', t, case when t = 'portfolio' then 'id' else 'portfolio_id' end);
    end loop;
    foreach t in array array['order_event', 'hold']
    loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy %I on %I for all to tf_app, tf_broker using (true) with check (true)', t || '_staff', t);
        execute format('create policy %I on %I for select to tf_observer using (exists (select 1 from orders o where o.id = order_id))',
                       t || '_observer', t);
    end loop;
end $$;
alter table app_user enable row level security;
create policy app_user_staff on app_user for all to tf_app, tf_broker using (true) with check (true);
create policy app_user_observer on app_user for select to tf_observer
    using (id in (select owner_id from portfolio));
