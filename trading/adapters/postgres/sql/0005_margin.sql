-- Margin portfolios: policies, short positions, calls.

-- What a market asks of a position, in ppm of its value. `asset_class` is an instrument's; '' is for all that have no row.
create table margin_policy (
    asset_class           text not null,
    version               int not null,
    initial_ppm           bigint not null check (initial_ppm between 1 and 1000000),
    maintenance_long_ppm  bigint not null check (maintenance_long_ppm between 1 and initial_ppm),
    maintenance_short_ppm bigint not null check (maintenance_short_ppm between 1 and initial_ppm),
    close_out_ppm         bigint not null check (close_out_ppm between 1 and 1000000),
    source                text not null,
    set_by                bigint references app_user,
    set_at                timestamptz not null default now(),
    primary key (asset_class, version)
);
insert into margin_policy (asset_class, version, initial_ppm, maintenance_long_ppm, maintenance_short_ppm, close_out_ppm,
                           source) values
    ('', 1, 500000, 250000, 300000, 800000,
     'Regulation T (12 CFR 220.12), FINRA rule 4210(c); close-out level of this floor'),
    ('fx', 1, 33334, 25000, 25000, 666667,
     'ESMA decision (EU) 2018/796: 30 to 1, closed out at half of the initial margin; call level of this floor'),
    ('crypto', 1, 500000, 375000, 375000, 666667,
     'ESMA decision (EU) 2018/796: 2 to 1, closed out at half of the initial margin; call level of this floor');

-- What margin debt costs a year, in ppm.
create table debt_rate (
    currency_id int not null references asset,
    version     int not null,
    annual_ppm  bigint not null check (annual_ppm between 0 and 1000000),
    source      text not null,
    set_by      bigint references app_user,
    set_at      timestamptz not null default now(),
    primary key (currency_id, version)
);

-- Calls and what became of them, for each currency of a portfolio: the newest row says where it stands.
create table margin_event (
    id           bigint generated always as identity primary key,
    portfolio_id bigint not null references portfolio,
    currency_id  int not null references asset,
    kind         text not null check (kind in ('call', 'close_out', 'met')),
    input_seq    bigint not null unique,
    ts_ns        bigint not null,
    equity       bigint not null,
    maintenance  bigint not null,
    close_out    bigint not null
);
create index margin_event_portfolio on margin_event (portfolio_id, currency_id, id desc);

-- A short lot was opened by a sale: its cost is what that brought, below zero where the fee was more.
alter table lot
    add column short boolean not null default false,
    drop constraint lot_cost_check,
    drop constraint lot_check1,
    add constraint lot_cost check (case when short then true else cost >= 0 and remaining_cost between 0 and cost end);

-- Of an order in a margin portfolio: what part of its value it reserves (0 where it closes), and the least price of a
-- lot that a short sale is reserved at.
alter table orders
    add column reserve_ppm bigint check (reserve_ppm between 0 and 1000000),
    add column reserve_ticks bigint check (reserve_ticks >= 0),
    add constraint orders_reserve check ((reserve_ppm is null) = (reserve_ticks is null));
