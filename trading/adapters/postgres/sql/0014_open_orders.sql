-- What an order is accepted on without reading everything again: how many orders are open, and whether a rule changed.

-- Open orders of each portfolio, kept by the triggers on orders: counting them took longer the more there had been.
create table order_count (
    portfolio_id bigint primary key references portfolio,
    owner_id     bigint not null,
    open_orders  bigint not null default 0
) with (fillfactor = 50);
create index order_count_owner on order_count (owner_id);
insert into order_count (portfolio_id, owner_id, open_orders)
    select p.id, p.owner_id, count(o.id) from portfolio p left join orders o on o.portfolio_id = p.id
        and o.state not in ('filled', 'rejected', 'cancelled', 'expired')
    group by p.id;

-- Moves with every change of what the desk's judgement rests on beside amounts: limits, tiers, roles, bans, terms of
-- instruments, the kill switch, portfolios, corporate actions. It moves at the end of the transaction that changes them,
-- so that nobody waits for it while holding it.
create table rule_epoch (
    id int primary key check (id = 1),
    n  bigint not null
);
insert into rule_epoch (id, n) values (1, 1);
create function move_rule_epoch() returns trigger language plpgsql security definer set search_path = public as $$
begin
    update rule_epoch set n = n + 1;
    return null;
end $$;
create constraint trigger limits_move_epoch after insert or update or delete on risk_limit
    deferrable initially deferred for each row execute function move_rule_epoch();
create constraint trigger bans_move_epoch after insert or update or delete on restricted_instrument
    deferrable initially deferred for each row execute function move_rule_epoch();
create constraint trigger terms_move_epoch after insert or update or delete on instrument_version
    deferrable initially deferred for each row execute function move_rule_epoch();
create constraint trigger halts_move_epoch after insert or update or delete on halt_state
    deferrable initially deferred for each row execute function move_rule_epoch();
create constraint trigger users_move_epoch after update of role, tier, disabled_at on app_user
    deferrable initially deferred for each row execute function move_rule_epoch();
create constraint trigger portfolios_move_epoch after update on portfolio
    deferrable initially deferred for each row execute function move_rule_epoch();
create constraint trigger actions_move_epoch after insert or update on corporate_action
    deferrable initially deferred for each row execute function move_rule_epoch();
