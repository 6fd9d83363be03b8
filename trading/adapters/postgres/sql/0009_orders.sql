-- Scheduled orders, parents that are worked in children, and the portfolio a session works in.

-- What is to be sent when. The order itself begins at the desk, at its due time.
create table schedule (
    id            bigint generated always as identity primary key,
    portfolio_id  bigint not null references portfolio,
    actor_id      bigint not null references app_user,
    ticket        jsonb not null,
    cron          text,                     -- null: once
    zone          text not null,            -- of the local times of `cron`
    when_closed   text not null check (when_closed in ('skip', 'send')),
    grace_s       int not null check (grace_s between 1 and 86400),
    state         text not null check (state in ('active', 'paused', 'done', 'cancelled')),
    next_due_ns   bigint,                   -- of an open one
    created_ts_ns bigint not null,
    updated_ts_ns bigint not null,
    check ((state in ('active', 'paused')) = (next_due_ns is not null))
);
create index schedule_due on schedule (next_due_ns) where state = 'active';
create index schedule_portfolio on schedule (portfolio_id, id desc);

-- What became of each run: history. `runs` are the runs it speaks of: of a floor that was closed it may be many.
create table schedule_firing (
    schedule_id bigint not null references schedule,
    due_ns      bigint not null,
    ts_ns       bigint not null,
    outcome     text not null check (outcome in ('accepted', 'refused', 'missed', 'skipped')),
    code        text not null default '',
    reason      text not null default '',
    order_id    bigint references orders,
    runs        int not null default 1 check (runs >= 1),
    primary key (schedule_id, due_ns),
    check ((outcome = 'accepted') = (order_id is not null))
);

-- A parent is worked in children: ordinary orders that the floor sends for it. `plan` is the planner's state as a value,
-- `mark` how much of the tape's volume it has seen; both move with `version`.
create table parent_order (
    id            bigint generated always as identity primary key,
    portfolio_id  bigint not null references portfolio,
    actor_id      bigint not null references app_user,
    instrument_id int not null references instrument,
    ticket        jsonb not null,
    style         text not null check (style in ('twap', 'vwap', 'pov', 'iceberg')),
    quantity_lots bigint not null check (quantity_lots > 0),
    state         text not null check (state in ('working', 'paused', 'stopping', 'filled', 'ended', 'cancelled')),
    code          text not null default '',
    reason        text not null default '',
    plan          jsonb not null,
    mark          jsonb not null default '{}',
    version       int not null default 1,
    created_ts_ns bigint not null,
    updated_ts_ns bigint not null
);
create index parent_order_open on parent_order (id) where state in ('working', 'paused', 'stopping');
create index parent_order_portfolio on parent_order (portfolio_id, id desc);

alter table orders
    add column parent_id bigint references parent_order,
    add column child_n int,
    add constraint orders_child check ((parent_id is null) = (child_n is null));
create unique index orders_child_of on orders (parent_id, child_n) where parent_id is not null;

-- The portfolio a session works in; null: its user's first.
alter table app_session add column portfolio_id bigint references portfolio;
