-- What a row of the busiest tables must be.
--
-- A function for each table. PostgreSQL reads and plans every CHECK of a table anew for each statement that writes to it,
-- which takes 10 us: where rows come one by one a trigger asks (of orders those that see each row anyway: `admit_order`,
-- `check_order_change`), where they come in batches one CHECK does. As with any CHECK, a rule that comes out null is kept.
-- A broken rule is told by its name.

create or replace function broken_rule(p_table text, p_rule text) returns boolean language plpgsql immutable as $$
begin
    raise exception 'a row of % breaks the rule %', p_table, p_rule
        using errcode = 'check_violation', table = p_table, constraint = p_table || '_' || p_rule;
end $$;

create or replace function is_sound(o orders) returns boolean language plpgsql immutable as $$
declare
    broken constant text := case
        when not o.side in ('buy', 'sell') then 'side'
        when not o.type in ('market', 'limit', 'stop', 'stop_limit', 'trailing_stop') then 'type'
        when not o.effect in ('open', 'close') then 'effect'
        when not o.tif in ('day', 'gtc', 'gtd', 'ioc', 'fok') then 'tif'
        when not o.quantity_lots > 0 then 'quantity'
        when not o.filled_lots between 0 and o.quantity_lots then 'filled'
        when not o.protection_ticks > 0 then 'protection'
        when not o.limit_ticks > 0 then 'limit_ticks'
        when not o.stop_ticks > 0 then 'stop_ticks'
        when not o.trail > 0 then 'trail_ticks'
        when not o.trail_ppm between 1 and 999999 then 'trail_ppm'
        when (o.type in ('limit', 'stop_limit')) <> (o.limit_ticks is not null) then 'limit'
        when (o.type in ('stop', 'stop_limit', 'trailing_stop')) <> (o.stop_ticks is not null) then 'stop'
        when (o.type = 'trailing_stop')::int <> num_nonnulls(o.trail, o.trail_ppm) then 'trail'
        when o.post_only and not (o.type = 'limit' and o.tif in ('day', 'gtc', 'gtd')) then 'post_only'
        when (o.tif = 'gtd') <> (o.expires_ns is not null) then 'expires'
        when not o.group_role in ('entry', 'take_profit', 'stop_loss', 'oco') then 'group_role'
        when (o.group_id is null) <> (o.group_role is null) then 'group'
        when not o.strategy ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$' then 'strategy'
        when (o.parent_id is null) <> (o.child_n is null) then 'child'
        when not o.reserve_ppm between 0 and 1000000 then 'reserve_ppm'
        when not o.reserve_ticks >= 0 then 'reserve_ticks'
        when (o.reserve_ppm is null) <> (o.reserve_ticks is null) then 'reserve'
    end;
begin
    return broken is null or broken_rule('orders', broken);
end $$;

create or replace function is_sound(a account) returns boolean language plpgsql immutable as $$
declare
    broken constant text := case
        when not a.kind in ('portfolio', 'market', 'fees', 'deposits', 'taxes', 'interest', 'dividends', 'fx', 'actions')
            then 'kind'
        when (a.kind = 'portfolio') <> (a.portfolio_id is not null) then 'portfolio'
        when a.kind <> 'portfolio' and not (a.posted = 0 and a.held = 0) then 'summed'
        when not a.held >= 0 then 'held'
        when a.floor_zero and not a.posted - a.held >= 0 then 'floor'
    end;
begin
    return broken is null or broken_rule('account', broken);
end $$;

create or replace function is_sound(h hold) returns boolean language plpgsql immutable as $$
declare
    broken constant text := case
        when not h.leg in ('cash', 'asset') then 'leg'
        when not h.amount > 0 then 'amount'
        when not h.used >= 0 then 'used'
        when not h.released >= 0 then 'released'
        when not h.used + h.released <= h.amount then 'spent'
        when h.resolved and h.used + h.released <> h.amount then 'resolved'
    end;
begin
    return broken is null or broken_rule('hold', broken);
end $$;

create or replace function is_sound(t transfer) returns boolean language plpgsql immutable as $$
declare
    broken constant text := case
        when not t.amount > 0 then 'amount'
        when not t.debit_id <> t.credit_id then 'sides'
        when not t.kind in ('deposit', 'withdrawal', 'trade', 'fee', 'tax', 'dividend', 'interest', 'fx', 'split',
                            'reversal', 'archive') then 'kind'
    end;
begin
    return broken is null or broken_rule('transfer', broken);
end $$;

create or replace function is_sound(f fill) returns boolean language plpgsql immutable as $$
declare
    broken constant text := case
        when not f.side in ('buy', 'sell') then 'side'
        when not f.price_ticks > 0 then 'price'
        when not f.quantity_lots > 0 then 'quantity'
        when not f.notional >= 0 then 'notional'
        when not f.fee >= 0 then 'fee'
        when not f.tax between 0 and f.fee then 'tax'
        when not f.liquidity in ('taker', 'maker') then 'liquidity'
    end;
begin
    return broken is null or broken_rule('fill', broken);
end $$;

-- A short lot's cost is what its sale brought, below zero where the fee was more.
create or replace function is_sound(l lot) returns boolean language plpgsql immutable as $$
declare
    broken constant text := case
        when not l.quantity_lots >= 0 then 'quantity'
        when not l.remaining_lots between 0 and l.quantity_lots then 'remaining'
        when not l.short and not (l.cost >= 0 and l.remaining_cost between 0 and l.cost) then 'cost'
    end;
begin
    return broken is null or broken_rule('lot', broken);
end $$;

create or replace function check_account() returns trigger language plpgsql as $$
begin
    return case when is_sound(new) then new end;
end $$;
create or replace trigger account_sound before insert or update on account
    for each row execute function check_account();
create or replace function check_hold() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' and not exists (select 1 from account where id = new.account_id and asset_id = new.asset_id) then
        raise exception 'a row of hold names what is not there' using errcode = 'foreign_key_violation';
    end if;
    if tg_op = 'INSERT' and current_setting('tradefloor.admitted', true) is distinct from new.order_id::text
       and not exists (select 1 from orders where id = new.order_id) then
        raise exception 'a row of hold names what is not there' using errcode = 'foreign_key_violation';
    end if;
    return case when is_sound(new) then new end;
end $$;
drop trigger if exists hold_references on hold;
drop function if exists check_hold_references();
create or replace trigger hold_sound before insert or update on hold for each row execute function check_hold();

alter table orders drop constraint if exists orders_sound;
alter table account drop constraint if exists account_sound;
alter table hold drop constraint if exists hold_sound;
do $$
declare t text;
begin
    foreach t in array array['transfer', 'fill', 'lot'] loop
        if not exists (select 1 from pg_constraint where conrelid = t::regclass and conname = t || '_sound') then
            execute format('alter table %I add constraint %I check (is_sound(%I))', t, t || '_sound', t);
        end if;
    end loop;
end $$;
