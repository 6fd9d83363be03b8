-- Accounts at brokers, what is recorded of them, what the loop asked of the broker, and its cycles.

create table broker_account (
    id            bigint generated always as identity primary key,
    portfolio_id  bigint not null references portfolio,  -- whose owner may see and switch it
    name          text not null check (length(name) between 1 and 80),
    adapter       text not null check (adapter in ('paper', 'remote')),
    base_url      text not null default '',
    key_name      text not null default '',              -- of a key in the floor's secrets, never the key
    enabled       boolean not null default false,
    steps         text[] not null,
    cycle_s       int not null default 60 check (cycle_s between 5 and 86400),
    cursor        text not null default '',              -- behind the last recorded execution
    executions    bigint not null default 0,
    started_ts_ns bigint not null default 0,
    created_at    timestamptz not null default now(),
    unique (portfolio_id, name),
    check ((adapter = 'remote') = (base_url <> ''))
);
create unique index broker_account_paper on broker_account (portfolio_id) where adapter = 'paper';

-- What the loop may do about an instrument; nothing without a row here.
create table broker_plan (
    account_id       bigint not null references broker_account,
    instrument_id    int not null references instrument,
    stop_loss_ppm    bigint check (stop_loss_ppm between 1 and 999999),
    take_profit_ppm  bigint check (take_profit_ppm > 0),
    fair_source      text not null check (fair_source in ('off', 'mid', 'model')),
    fair_edge_ticks  bigint not null check (fair_edge_ticks >= 0),
    move_least_ticks bigint not null check (move_least_ticks > 0),
    move_most_ppm    bigint not null check (move_most_ppm between 0 and 999999),
    reentries_max    int not null check (reentries_max between 0 and 100),
    replacements_max int not null check (replacements_max between 0 and 100),
    since_ts_ns      bigint not null,
    primary key (account_id, instrument_id)
);

create table broker_order (
    account_id        bigint not null references broker_account,
    order_id          text not null,
    client_id         text not null,
    instrument_id     int not null references instrument,
    side              text not null,
    type              text not null,
    tif               text not null,
    quantity_lots     bigint not null,
    filled_lots       bigint not null,
    limit_ticks       bigint,
    stop_ticks        bigint,
    state             text not null,
    reason            text not null,
    purpose           text not null check (purpose in ('entry', 'exit', 'stop_loss', 'take_profit')),
    attempt           int not null,
    first_limit_ticks bigint,
    seen_ts_ns        bigint not null,
    over_ts_ns        bigint,
    dropped           boolean not null default false,
    primary key (account_id, order_id)
);
create index broker_order_open on broker_order (account_id) where over_ts_ns is null;
create index broker_order_over on broker_order (account_id, over_ts_ns);

create table broker_execution (
    account_id    bigint not null references broker_account,
    number        bigint not null,
    cursor        text not null,
    order_id      text not null,
    instrument_id int not null references instrument,
    side          text not null check (side in ('buy', 'sell')),
    price_ticks   bigint not null,
    quantity_lots bigint not null check (quantity_lots > 0),
    fee           bigint not null,
    ts_ns         bigint not null,
    primary key (account_id, number),
    unique (account_id, cursor)
);

-- FIFO lots of an account's instrument, folded up to an execution.
create table broker_book (
    account_id    bigint not null references broker_account,
    instrument_id int not null references instrument,
    through       bigint not null,
    position_lots bigint not null,
    realised      bigint not null,
    fees          bigint not null,
    lots          jsonb not null,
    primary key (account_id, instrument_id)
);

-- What was asked of the broker: begun before it is asked, settled with the answer.
create table broker_write (
    account_id    bigint not null references broker_account,
    key           text not null check (length(key) between 1 and 200),
    cause         text not null,
    number        int not null,
    step          text not null,
    deed          jsonb not null,
    purpose       text not null,
    attempt       int not null,
    outcome       text not null default 'pending' check (outcome in ('pending', 'taken', 'refused', 'abandoned')),
    order_id      text not null default '',
    code          text not null default '',
    reason        text not null default '',
    dropped       boolean not null default false,
    begun_ts_ns   bigint not null,
    settled_ts_ns bigint not null default 0,
    primary key (account_id, key)
);
create index broker_write_pending on broker_write (account_id) where outcome = 'pending';
create index broker_write_order on broker_write (account_id, order_id);
create index broker_write_settled on broker_write (account_id, settled_ts_ns);

create table monitor_cycle (
    id         bigint generated always as identity primary key,
    account_id bigint not null references broker_account,
    ts_ns      bigint not null,
    took_ms    int not null,
    by_whom    text not null,
    asked      int not null
);
create index monitor_cycle_account on monitor_cycle (account_id, id desc);

create table monitor_step (
    cycle_id bigint not null references monitor_cycle on delete cascade,
    step     text not null,
    state    text not null check (state in ('done', 'off', 'skipped', 'failed')),
    found    int not null,
    done     int not null,
    took_ms  int not null,
    error    text not null,
    detail   jsonb not null,
    primary key (cycle_id, step)
);

-- What a model says an instrument is worth, until it says otherwise or the time is over.
create table fair_price (
    instrument_id int primary key references instrument,
    price_ticks   bigint not null check (price_ticks > 0),
    source        text not null,
    until_ts_ns   bigint not null
);
