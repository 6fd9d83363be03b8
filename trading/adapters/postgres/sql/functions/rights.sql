-- Who may do what. Tables belong to tf_owner, which can't log in; nobody who can log in may edit history.

-- Portfolios that the user of the set session token may observe.
create or replace function observer_portfolios() returns setof bigint language sql stable security definer
set search_path = public as $$
    select g.portfolio_id
    from app_session s
    join app_user u on u.id = s.user_id and u.disabled_at is null and u.role = 'observer'
    join portfolio_grant g on g.observer_id = u.id
    where s.token_hash = sha256(convert_to(current_setting('tradefloor.session', true), 'UTF8'))
      and s.revoked_at is null and s.expires_at > now();
$$;

revoke all on all tables in schema public from tf_app, tf_broker, tf_observer;
revoke all on all sequences in schema public from tf_app, tf_broker, tf_observer;
revoke execute on all functions in schema public from public, tf_app, tf_broker, tf_observer;

-- Grants -------------------------------------------------------------------------------------------------------------

grant usage on schema public to tf_app, tf_broker, tf_observer;

grant select on all tables in schema public to tf_app, tf_broker;
grant insert on app_user, app_session, login_attempt, portfolio, portfolio_grant, asset, instrument, instrument_version,
    risk_limit, idempotency_key, audit, process_status, setting, lake_file, ingest_report, reconciliation, equity_mark,
    backup_try
    to tf_app;
grant execute on function margin_accounts, margin_policy_of, margin_holdings, set_margin_policy to tf_app;
grant execute on function margin_accounts to tf_broker;
grant insert on restricted_instrument, risk_tier to tf_app;
grant update (tier) on app_user to tf_app;
grant update (password_hash, role, display_name, disabled_at, token_version) on app_user to tf_app;
grant update (revoked_at, expires_at, portfolio_id) on app_session to tf_app;
grant update on login_attempt, process_status, setting to tf_app;
grant update (archived_at, name) on portfolio to tf_app;
grant update (retired_at, meta) on lake_file to tf_app;
grant update (answer) on idempotency_key to tf_app;
grant delete on portfolio_grant, login_attempt, app_session to tf_app;
grant insert on broker_account, broker_plan, broker_order, broker_execution, broker_book, broker_write, monitor_cycle,
    monitor_step, fair_price to tf_app;
grant update (enabled, steps, cycle_s, cursor, executions, started_ts_ns) on broker_account to tf_app;
grant update on broker_plan, broker_order, broker_book, broker_write, fair_price to tf_app;
grant delete on broker_plan to tf_app;
grant execute on function note_access, prune, erase_person to tf_app;
-- Needed for `for share`/`for update` row locks of services only where a function below does not take them.
grant execute on function desk_open, desk_context, desk_accept, desk_take, desk_refuse, desk_open_change, desk_change, desk_cancel,
    post_cash, set_halt, account_of, seal_block, mark_equity, drop_archived_log, batch_open, batch_close to tf_app;
grant execute on function desk_limits, reset_drawdown, halt_by_file to tf_app;
grant execute on function open_orders_of to tf_broker;
grant execute on function claim_planned, parent_save to tf_app;
grant insert on schedule, schedule_firing, parent_order to tf_app;
grant update (state, next_due_ns, updated_ts_ns) on schedule to tf_app;

grant execute on function post_group, second_admin_above, transfer_leaf, fill_leaf, advance_verified,
    keep_balances, unsettled, request_cash, decide_cash, expire_requests, set_cash_limit,
    post_fx, reset_portfolio, charge_interest, set_debt_rate to tf_app;

grant execute on function commit_batch, take_lease, renew_lease, save_snapshot, seal_block, publish_outbox,
    mark_equity, set_halt to tf_broker;
grant execute on function set_fee_schedule, enter_action, cancel_action, bring_action_forward,
    request_action to tf_app;
grant usage on sequence transfer_group, orders_id_seq to tf_broker;
grant update (detail) on process_status to tf_broker;

grant execute on function observer_portfolios, unsettled to tf_observer;

-- Observers: SELECT alone, and only the portfolios granted to the user of the session whose token is set.

grant select on portfolio, portfolio_grant, asset, instrument, instrument_version, instrument_current, account,
    transfer, orders, order_event, hold, fill, lot, lot_close, equity_mark to tf_observer;
grant select on balance_mark, cash_request, margin_event, margin_policy to tf_observer;
grant select on corporate_action, action_effect, lot_action to tf_observer;
grant select (id, public_id, username, display_name, role) on app_user to tf_observer;

do $$
declare t text;
begin
    foreach t in array array['portfolio', 'portfolio_grant', 'account', 'transfer', 'orders', 'fill', 'lot', 'lot_close',
                             'equity_mark', 'balance_mark', 'cash_request', 'margin_event', 'action_effect',
                             'lot_action']
    loop
        execute format('alter table %I enable row level security', t);
        execute format('drop policy if exists %I on %I', t || '_staff', t);
        execute format('drop policy if exists %I on %I', t || '_observer', t);
        execute format('create policy %I on %I for all to tf_app, tf_broker using (true) with check (true)', t || '_staff', t);
        execute format('create policy %I on %I for select to tf_observer using (%I = any (array(select observer_portfolios())))',
                       t || '_observer', t, case when t = 'portfolio' then 'id' else 'portfolio_id' end);
    end loop;
    foreach t in array array['order_event', 'hold']
    loop
        execute format('alter table %I enable row level security', t);
        execute format('drop policy if exists %I on %I', t || '_staff', t);
        execute format('drop policy if exists %I on %I', t || '_observer', t);
        execute format('create policy %I on %I for all to tf_app, tf_broker using (true) with check (true)', t || '_staff', t);
        execute format('create policy %I on %I for select to tf_observer using (exists (select 1 from orders o where o.id = order_id))',
                       t || '_observer', t);
    end loop;
end $$;
alter table app_user enable row level security;
drop policy if exists app_user_staff on app_user;
drop policy if exists app_user_observer on app_user;
create policy app_user_staff on app_user for all to tf_app, tf_broker using (true) with check (true);
create policy app_user_observer on app_user for select to tf_observer
    using (id in (select owner_id from portfolio));
