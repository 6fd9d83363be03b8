-- What the database itself refuses: an order on a way that the table does not have, an edit of history.

-- What was accepted is never rewritten; price and quantity move while the order is open, by the broker's batch alone,
-- and each change is an order_event with the old and the new terms. An order that is over is not counted any more.
create or replace function check_order_change() returns trigger language plpgsql security definer
set search_path = public as $$
declare
    sound constant boolean := is_sound(new);
begin
    if new.state <> old.state
       and not exists (select 1 from order_transition where source = old.state and target = new.state) then
        raise exception 'order %: % may not become %', old.id, old.state, new.state using errcode = 'TF004';
    end if;
    if new.state in ('filled', 'rejected', 'cancelled', 'expired')
       and old.state not in ('filled', 'rejected', 'cancelled', 'expired') then
        update order_count set open_orders = open_orders - 1 where portfolio_id = new.portfolio_id;
    end if;
    if (new.id, new.public_id, new.portfolio_id, new.instrument_id, new.instrument_version, new.limit_version, new.side,
        new.type, new.effect, new.tif, new.post_only, new.expires_ns, new.group_id, new.group_role, new.strategy,
        new.parent_id, new.child_n, new.actor_id, new.accepted_ts_ns)
       is distinct from
       (old.id, old.public_id, old.portfolio_id, old.instrument_id, old.instrument_version, old.limit_version, old.side,
        old.type, old.effect, old.tif, old.post_only, old.expires_ns, old.group_id, old.group_role, old.strategy,
        old.parent_id, old.child_n, old.actor_id, old.accepted_ts_ns) then
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
create or replace trigger orders_change before update on orders for each row execute function check_order_change();

-- History can't be edited, by anyone who can log in; the audit trail neither (compliance.sql).
create or replace function refuse_edit() returns trigger language plpgsql as $$
begin
    raise exception '% on % is not allowed: history is kept', tg_op, tg_table_name using errcode = 'TF005';
end $$;
do $$
declare t text;
begin
    foreach t in array array[
        'transfer', 'fill', 'order_event', 'ledger_block', 'lot_close', 'reconciliation',
        'restricted_instrument',
        'balance_mark', 'cash_limit', 'interest_day',
        'margin_event',
        'broker_execution',
        'backup_try',
        'schedule_firing',
        'action_effect', 'lot_action'
    ]
    loop
        execute format('create or replace trigger %I before update or delete or truncate on %I
                        for each statement execute function refuse_edit()', t || '_kept', t);
    end loop;
end $$;
create or replace trigger audit_kept before delete or truncate on audit for each statement execute function refuse_edit();
create or replace trigger audit_names_kept before update on audit for each row execute function refuse_audit_edit();

-- What a row names is asked for by whoever writes it, never by somebody who may not: the caller's rights are enough.
create or replace function check_event() returns trigger language plpgsql as $$
begin
    if current_setting('tradefloor.admitted', true) is distinct from new.order_id::text
       and not exists (select 1 from orders where id = new.order_id) then
        raise exception 'a row of order_event names what is not there' using errcode = 'foreign_key_violation';
    end if;
    return new;
end $$;
create or replace function check_command() returns trigger language plpgsql as $$
begin
    if new.kind not in ('submit', 'group', 'cancel', 'modify', 'halt', 'resume', 'action') then
        raise exception 'a row of command breaks the rule kind' using errcode = 'check_violation';
    end if;
    if new.order_id is not null and current_setting('tradefloor.admitted', true) is distinct from new.order_id::text
       and not exists (select 1 from orders where id = new.order_id) then
        raise exception 'a row of command names what is not there' using errcode = 'foreign_key_violation';
    end if;
    return new;
end $$;
create or replace trigger command_references before insert on command for each row execute function check_command();
drop function if exists check_command_references();
alter table command drop constraint if exists command_kind_check;
do $$
begin
    if exists (select 1 from pg_proc where proname = 'check_order_event_references') then
        drop trigger order_event_references on order_event;
        drop function check_order_event_references();
        create trigger order_event_references before insert on order_event for each row execute function check_event();
    end if;
end $$;

-- What other rows name can't go away and its key never changes: that is what makes `references` of 0003 and 0004 enough.
-- Nor does a portfolio change hands: services remember whose it is.
create or replace trigger account_stays before delete or truncate or update of id, asset_id on account
    for each statement execute function refuse_edit();
create or replace trigger portfolio_stays before delete or truncate or update of id, owner_id on portfolio
    for each statement execute function refuse_edit();
create or replace trigger orders_stay before delete or truncate or update of id on orders
    for each statement execute function refuse_edit();
create or replace trigger lot_stays before delete or truncate or update of id, order_id, input_seq, n on lot
    for each statement execute function refuse_edit();
create or replace trigger instrument_version_stays
    before delete or truncate or update of instrument_id, version on instrument_version
    for each statement execute function refuse_edit();
create or replace trigger app_user_stays before delete or truncate or update of id on app_user
    for each statement execute function refuse_edit();
