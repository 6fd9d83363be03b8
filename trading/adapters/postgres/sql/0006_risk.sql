-- Limits of tiers, users, portfolios and instruments; restricted instruments; drawdown; scopes of the kill switch.

-- A tier is a named set of limits; each user has one.
create table risk_tier (
    name text primary key check (name ~ '^[a-z][a-z0-9_-]{0,30}$')
);
insert into risk_tier (name) values ('basic'), ('standard'), ('professional');
alter table app_user add column tier text not null default 'standard' references risk_tier;

-- A row is one version of what one tier, user, portfolio or instrument may; the newest counts, and of all that apply to
-- an order the strictest. A figure that is null says nothing. Money is minor units: of the order's currency for orders and
-- positions, of the portfolio's for losses.
alter table risk_limit
    drop constraint risk_limit_pkey,
    alter column portfolio_id drop not null,
    alter column max_order_notional drop not null,
    alter column max_open_orders drop not null,
    alter column price_band_ppm drop not null,
    add column id int generated always as identity primary key,
    add column tier text references risk_tier,
    add column user_id bigint references app_user,
    add column instrument_id int references instrument,
    add column max_order_lots bigint check (max_order_lots > 0),
    add column max_position_lots bigint check (max_position_lots > 0),
    add column max_position_notional bigint check (max_position_notional > 0),
    add column max_orders_per_minute int check (max_orders_per_minute > 0),
    add column max_daily_loss bigint check (max_daily_loss > 0),
    add column max_drawdown_ppm int check (max_drawdown_ppm between 1 and 999999),
    add column instruments int[],      -- the only ones in which a position may be opened
    add column reason text not null default '',
    add constraint risk_limit_scope check (num_nonnulls(tier, user_id, portfolio_id, instrument_id) = 1),
    add constraint risk_limit_tier check (
        tier is null or num_nulls(max_order_notional, max_open_orders, price_band_ppm) = 0),
    -- What is counted or added up belongs to somebody.
    add constraint risk_limit_instrument check (
        instrument_id is null
        or num_nonnulls(max_open_orders, max_orders_per_minute, max_daily_loss, max_drawdown_ppm, instruments) = 0);
create unique index risk_limit_of_tier on risk_limit (tier, version) where tier is not null;
create unique index risk_limit_of_user on risk_limit (user_id, version) where user_id is not null;
create unique index risk_limit_of_portfolio on risk_limit (portfolio_id, version) where portfolio_id is not null;
create unique index risk_limit_of_instrument on risk_limit (instrument_id, version) where instrument_id is not null;

-- An order keeps the id of the newest row that applied: whatever is older of its scopes applied too.
alter table orders
    add column strategy text check (strategy ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$');
drop trigger if exists orders_change on orders;  -- comes back with the functions
update orders o set limit_version = r.id from risk_limit r
    where r.portfolio_id = o.portfolio_id and r.version = o.limit_version;

insert into risk_limit (tier, version, max_order_notional, max_open_orders, price_band_ppm, max_position_notional,
                        max_orders_per_minute, max_daily_loss, max_drawdown_ppm, reason)
values ('basic', 1, 2500000, 50, 50000, 10000000, 60, 500000, 200000, 'shipped'),
       ('standard', 1, 100000000, 200, 50000, null, null, null, null, 'shipped'),
       ('professional', 1, 10000000000, 5000, 100000, null, null, null, null, 'shipped');

-- Instruments that compliance keeps people out of; the newest version of each counts.
create table restricted_instrument (
    instrument_id int not null references instrument,
    version       int not null,
    mode          text not null check (mode in ('free', 'no_opening', 'no_trading')),
    reason        text not null,
    set_by        bigint references app_user,
    set_at        timestamptz not null default now(),
    primary key (instrument_id, version)
);

-- What a portfolio's marks of worth come to: today's start and the peak, both moved by what is paid in and out, and
-- the drawdown breaker, which stays tripped until an admin resets it.
create table risk_state (
    portfolio_id  bigint primary key references portfolio,
    ts_ns         bigint not null,
    equity        bigint not null,
    day_ns        bigint not null,     -- 00:00 UTC of the day that day_equity began
    day_equity    bigint not null,
    peak_equity   bigint not null,
    tripped_ts_ns bigint,
    tripped_ppm   bigint               -- the drawdown at which it tripped
);
insert into risk_state (portfolio_id, ts_ns, equity, day_ns, day_equity, peak_equity)
    select distinct on (portfolio_id) portfolio_id, ts_ns, equity, ts_ns - ts_ns % 86400000000000, equity, equity
    from equity_mark order by portfolio_id, ts_ns desc;

alter table halt_state
    drop constraint halt_state_scope_check,
    add constraint halt_state_scope_check check (
        scope ~ '^(floor|user:[0-9]+|instrument:[0-9]+|portfolio:[0-9]+|strategy:[A-Za-z0-9][A-Za-z0-9._-]{0,39})$'),
    add column by_file boolean not null default false;  -- the file HALT lies in the data folder: no resuming
create index orders_strategy_open on orders (strategy)
    where strategy is not null and state not in ('filled', 'rejected', 'cancelled', 'expired');
