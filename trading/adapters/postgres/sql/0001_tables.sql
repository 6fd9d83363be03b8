-- The floor's state. Owner of everything is tf_owner (no login). Money is bigint minor units, engine time is ts_ns (UTC).
-- Roles: tf_app (services), tf_broker (the one fenced broker), tf_observer (SELECT alone, row level security).

-- People -------------------------------------------------------------------------------------------------------------

create table app_user (
    id            bigint generated always as identity primary key,
    public_id     text not null unique default 'usr_' || replace(gen_random_uuid()::text, '-', ''),
    username      text not null check (username = lower(username) and username ~ '^[a-z0-9][a-z0-9._-]{1,39}$'),
    display_name  text not null,
    role          text not null check (role in ('trader', 'admin', 'observer')),
    password_hash text not null,
    token_version int not null default 1,
    disabled_at   timestamptz,
    created_at    timestamptz not null default now()
);
create unique index app_user_name on app_user (username);

create table app_session (
    token_hash bytea primary key,
    user_id    bigint not null references app_user,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    user_agent text not null default ''
);
create index app_session_user on app_session (user_id) where revoked_at is null;

create table login_attempt (
    username      text primary key,
    failures      int not null default 0,
    blocked_until timestamptz,
    last_at       timestamptz not null
);

create table portfolio (
    id          bigint generated always as identity primary key,
    public_id   text not null unique default 'pf_' || replace(gen_random_uuid()::text, '-', ''),
    owner_id    bigint not null references app_user,
    name        text not null,
    kind        text not null check (kind in ('cash', 'margin')),
    currency_id int not null,
    created_at  timestamptz not null default now(),
    archived_at timestamptz
);
create index portfolio_owner on portfolio (owner_id);

create table portfolio_grant (
    portfolio_id bigint not null references portfolio,
    observer_id  bigint not null references app_user,
    granted_by   bigint references app_user,
    granted_at   timestamptz not null default now(),
    primary key (portfolio_id, observer_id)
);
create index portfolio_grant_observer on portfolio_grant (observer_id);

-- Reference data, versioned ------------------------------------------------------------------------------------------

create table asset (
    id    int generated always as identity primary key,
    code  text not null unique,
    kind  text not null check (kind in ('currency', 'instrument')),
    scale int not null check (scale between 0 and 12)
);
alter table portfolio add foreign key (currency_id) references asset;

create table instrument (
    id     int generated always as identity primary key,
    symbol text not null,
    venue  text not null,
    unique (venue, symbol)
);

create table instrument_version (
    instrument_id      int not null references instrument,
    version            int not null,
    name               text not null,
    asset_class        text not null,
    asset_id           int not null references asset,
    currency_id        int not null references asset,
    tick_size          numeric not null check (tick_size > 0 and tick_size <> 'NaN'),
    lot_size           numeric not null check (lot_size > 0 and lot_size <> 'NaN'),
    max_order_lots     bigint not null check (max_order_lots > 0),
    fee_version        int not null,
    fee_per_lot_millis bigint not null check (fee_per_lot_millis >= 0),
    fee_rate_ppm       bigint not null check (fee_rate_ppm >= 0),
    fee_minimum        bigint not null check (fee_minimum >= 0),
    profile            jsonb not null default '{}',
    valid_from         timestamptz not null default now(),
    primary key (instrument_id, version)
);
create view instrument_current with (security_invoker = true) as
    select distinct on (v.instrument_id) i.symbol, i.venue, v.*
    from instrument_version v join instrument i on i.id = v.instrument_id
    order by v.instrument_id, v.version desc;

create table risk_limit (
    portfolio_id       bigint not null references portfolio,
    version            int not null,
    max_order_notional bigint not null check (max_order_notional > 0),
    max_open_orders    int not null check (max_open_orders > 0),
    price_band_ppm     bigint not null check (price_band_ppm > 0),
    set_by             bigint references app_user,
    set_at             timestamptz not null default now(),
    primary key (portfolio_id, version)
);

-- Ledger -------------------------------------------------------------------------------------------------------------
-- A transfer moves `amount` of one asset from the debit account to the credit account: one row, balanced by its shape.
-- Portfolio accounts keep their balance in `posted` and what open orders reserve in `held`; market, fees and deposits
-- are summed from their transfers, never updated.

create table account (
    id           bigint generated always as identity primary key,
    asset_id     int not null references asset,
    kind         text not null check (kind in ('portfolio', 'market', 'fees', 'deposits')),
    portfolio_id bigint references portfolio,
    posted       bigint not null default 0,
    held         bigint not null default 0 check (held >= 0),
    floor_zero   boolean not null,
    unique (id, asset_id),
    check ((kind = 'portfolio') = (portfolio_id is not null)),
    check (kind = 'portfolio' or (posted = 0 and held = 0)),
    check (not floor_zero or posted - held >= 0)
) with (fillfactor = 70);
create unique index account_of_portfolio on account (portfolio_id, asset_id) where kind = 'portfolio';
create unique index account_of_floor on account (kind, asset_id) where kind <> 'portfolio';

create sequence transfer_group;

create table transfer (
    id           bigint generated always as identity primary key,
    group_id     bigint not null,
    asset_id     int not null,
    debit_id     bigint not null,
    credit_id    bigint not null,
    amount       bigint not null check (amount > 0),
    kind         text not null check (kind in ('deposit', 'withdrawal', 'trade', 'fee', 'reversal')),
    portfolio_id bigint not null references portfolio,
    order_id     bigint,
    input_seq    bigint,
    n            int,
    ts_ns        bigint not null,
    actor_id     bigint,
    memo         text not null default '',
    xid          xid8 not null default pg_current_xact_id(),
    leaf         bytea not null generated always as (sha256(
        int8send(id) || int8send(group_id) || int4send(asset_id) || int8send(debit_id) || int8send(credit_id)
        || int8send(amount) || kind::bytea || int8send(portfolio_id) || int8send(coalesce(order_id, -1))
        || int8send(coalesce(input_seq, -1)) || int4send(coalesce(n, -1)) || int8send(ts_ns))) stored,
    check (debit_id <> credit_id),
    foreign key (debit_id, asset_id) references account (id, asset_id),
    foreign key (credit_id, asset_id) references account (id, asset_id)
);
create index transfer_portfolio on transfer (portfolio_id, id);
create index transfer_order on transfer (order_id) where order_id is not null;
create index transfer_xid on transfer (xid);

create table ledger_block (
    id         bigint primary key,
    xid_from   xid8 not null,
    xid_to     xid8 not null,
    transfers  bigint not null,
    root       bytea not null,
    prev_hash  bytea not null,
    hash       bytea not null,
    sealed_at  timestamptz not null
);

-- Orders -------------------------------------------------------------------------------------------------------------

create table order_transition (
    source text not null,
    target text not null,
    primary key (source, target)
);

create table orders (
    id                 bigint generated always as identity primary key,
    public_id          text not null unique default 'ord_' || replace(gen_random_uuid()::text, '-', ''),
    portfolio_id       bigint not null references portfolio,
    instrument_id      int not null,
    instrument_version int not null,
    limit_version      int not null,
    side               text not null check (side in ('buy', 'sell')),
    type               text not null check (type in ('market', 'limit')),
    effect             text not null check (effect in ('open', 'close')),
    tif                text not null check (tif in ('day', 'gtc', 'ioc')),
    quantity_lots      bigint not null check (quantity_lots > 0),
    limit_ticks        bigint check (limit_ticks > 0),
    protection_ticks   bigint not null check (protection_ticks > 0),
    state              text not null,
    filled_lots        bigint not null default 0 check (filled_lots between 0 and quantity_lots),
    price_lots_sum     numeric(38, 0) not null default 0,  -- sum of price_ticks x quantity_lots over fills
    notional           bigint not null default 0,          -- its cash, rounded once on the sum
    fee                bigint not null default 0,
    reason             text not null default '',
    actor_id           bigint not null references app_user,
    accepted_ts_ns     bigint not null,
    updated_ts_ns      bigint not null,
    check ((type = 'limit') = (limit_ticks is not null)),
    foreign key (instrument_id, instrument_version) references instrument_version (instrument_id, version)
) with (fillfactor = 80);
create index orders_portfolio on orders (portfolio_id, id desc);
create index orders_open on orders (portfolio_id, instrument_id)
    where state not in ('filled', 'rejected', 'cancelled', 'expired');

create table order_event (
    id        bigint generated always as identity primary key,
    order_id  bigint not null references orders,
    ts_ns     bigint not null,
    source    text not null,
    target    text not null,
    cause     text not null,
    actor     text not null,
    input_seq bigint,
    detail    jsonb not null default '{"v": 1}'
);
create index order_event_order on order_event (order_id, id);

-- A hold is a pending transfer: used by fills up to its amount, the rest released, resolved once.
create table hold (
    order_id   bigint not null references orders,
    leg        text not null check (leg in ('cash', 'asset')),
    account_id bigint not null,
    asset_id   int not null,
    amount     bigint not null check (amount > 0),
    used       bigint not null default 0 check (used >= 0),
    released   bigint not null default 0 check (released >= 0),
    resolved   boolean not null default false,
    primary key (order_id, leg),
    check (used + released <= amount),
    check (not resolved or used + released = amount),
    foreign key (account_id, asset_id) references account (id, asset_id)
);
create index hold_account on hold (account_id) where not resolved;

create table idempotency_key (
    user_id      bigint not null,
    operation    text not null,
    key          text not null check (length(key) between 1 and 200),
    request_hash bytea not null,
    answer       jsonb,
    created_at   timestamptz not null default now(),
    primary key (user_id, operation, key)
);

-- The broker's inputs: one gapless sequence --------------------------------------------------------------------------

create table command (
    id         bigint generated always as identity primary key,
    kind       text not null check (kind in ('submit', 'cancel', 'modify', 'halt', 'resume')),
    order_id   bigint references orders,
    payload    jsonb not null,
    ts_ns      bigint not null,
    input_seq  bigint unique
);
create index command_waiting on command (id) where input_seq is null;

create table input_log (
    first_seq  bigint primary key,
    last_seq   bigint not null,
    epoch      bigint not null,
    engine_rev int not null,
    ts_ns      bigint not null,
    inputs     bytea not null,
    out_hash   bytea not null,   -- hash of the engine's outputs for these inputs
    state_hash bytea not null,   -- hash of the engine's state after them
    check (last_seq >= first_seq)
);

create table broker_cursor (
    id         int primary key check (id = 1),
    input_seq  bigint not null,
    epoch      bigint not null,
    state_hash bytea not null
);

create table broker_lease (
    id         int primary key check (id = 1),
    epoch      bigint not null,
    holder     text not null,
    expires_at timestamptz not null
);

create table snapshot (
    input_seq  bigint primary key,
    engine_rev int not null,
    ts_ns      bigint not null,
    state      bytea not null,
    state_hash bytea not null,
    kept       boolean not null default false  -- the log before it has been archived: a replay starts here
);

create table fill (
    order_id           bigint not null references orders,
    input_seq          bigint not null,
    n                  int not null,
    portfolio_id       bigint not null references portfolio,
    instrument_id      int not null,
    instrument_version int not null,
    fee_version        int not null,
    side               text not null check (side in ('buy', 'sell')),
    price_ticks        bigint not null check (price_ticks > 0),
    quantity_lots      bigint not null check (quantity_lots > 0),
    notional           bigint not null check (notional >= 0),
    fee                bigint not null check (fee >= 0),
    liquidity          text not null check (liquidity in ('taker', 'maker')),
    why                jsonb not null,   -- v, rule, bid, ask, tick seq and time, size displayed
    group_id           bigint not null,
    ts_ns              bigint not null,
    primary key (order_id, input_seq, n)
);
create index fill_portfolio on fill (portfolio_id, input_seq desc);

create table lot (
    id             bigint generated always as identity primary key,
    portfolio_id   bigint not null references portfolio,
    instrument_id  int not null,
    order_id       bigint not null,
    input_seq      bigint not null,
    n              int not null,
    acquired_ts_ns bigint not null,
    quantity_lots  bigint not null check (quantity_lots > 0),
    remaining_lots bigint not null check (remaining_lots between 0 and quantity_lots),
    cost           bigint not null check (cost >= 0),           -- notional and fee of the whole lot
    remaining_cost bigint not null check (remaining_cost between 0 and cost),
    unique (order_id, input_seq, n),
    foreign key (order_id, input_seq, n) references fill (order_id, input_seq, n)
);
create index lot_open on lot (portfolio_id, instrument_id, id) where remaining_lots > 0;

create table lot_close (
    lot_id         bigint not null references lot,
    order_id       bigint not null,
    input_seq      bigint not null,
    n              int not null,
    portfolio_id   bigint not null references portfolio,
    disposed_ts_ns bigint not null,
    quantity_lots  bigint not null check (quantity_lots > 0),
    cost           bigint not null,
    proceeds       bigint not null,   -- notional less fee, share of this lot
    primary key (lot_id, order_id, input_seq, n),
    foreign key (order_id, input_seq, n) references fill (order_id, input_seq, n)
);

create table outbox (
    id           bigint generated always as identity primary key,
    event        jsonb not null,
    published_at timestamptz
);
create index outbox_waiting on outbox (id) where published_at is null;

-- Safety, trail and health -------------------------------------------------------------------------------------------

create table halt_state (
    scope  text primary key check (scope ~ '^(floor|user:[0-9]+|instrument:[0-9]+)$'),
    mode   text not null check (mode in ('running', 'reducing', 'halted')),
    reason text not null,
    set_by bigint,
    ts_ns  bigint not null
);

create table audit (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    user_id  bigint,
    action   text not null,
    subject  text not null default '',
    result   text not null check (result in ('ok', 'refused')),
    code     text not null default '',
    origin   text not null default '',
    detail   jsonb not null default '{"v": 1}'
);
create index audit_at on audit (id desc);

create table process_status (
    name       text primary key,
    state      text not null,       -- starting, running, backing_off, stopped, failed
    pid        int,
    started_at timestamptz,
    beat_at    timestamptz not null,
    restarts   int not null default 0,
    detail     jsonb not null default '{"v": 1}'
);

create table setting (
    key        text primary key,
    value      jsonb not null,
    updated_at timestamptz not null default now()
);

-- What is kept about data and nights ---------------------------------------------------------------------------------

create table lake_file (
    id         bigint generated always as identity primary key,
    dataset    text not null,
    series     text not null default '',
    path       text not null unique,
    sha256     text not null,
    rows       bigint not null,
    bytes      bigint not null,
    ts_min_ns  bigint,
    ts_max_ns  bigint,
    meta       jsonb not null default '{"v": 1}',
    created_at timestamptz not null default now(),
    retired_at timestamptz
);
create index lake_file_live on lake_file (dataset, series, id) where retired_at is null;

create table ingest_report (
    id          bigint generated always as identity primary key,
    source      text not null,
    sha256      text not null,
    taken       boolean not null,
    accepted    bigint not null,
    quarantined bigint not null,
    refused     bigint not null,
    report      jsonb not null,
    created_at  timestamptz not null default now()
);

create table reconciliation (
    id         bigint generated always as identity primary key,
    ts_ns      bigint not null,
    scope      text not null,          -- verify, nightly
    ok         boolean not null,
    breaks     jsonb not null,
    counts     jsonb not null,
    created_at timestamptz not null default now()
);

create table equity_mark (
    portfolio_id bigint not null references portfolio,
    ts_ns        bigint not null,
    equity       bigint not null,
    cash         bigint not null,
    positions    bigint not null,
    flow         bigint not null,      -- deposits less withdrawals since the mark before
    primary key (portfolio_id, ts_ns)
);

insert into halt_state (scope, mode, reason, ts_ns) values ('floor', 'running', 'first start', 0);
