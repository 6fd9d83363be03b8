-- Withdrawals, conversion, interest, settlement, archives.

-- Every kind of account and transfer that the ledger knows. Floor accounts are summed from their transfers.
alter table account drop constraint account_kind_check;
alter table account add constraint account_kind_check check (kind in (
    'portfolio', 'market', 'fees', 'deposits', 'taxes', 'interest', 'dividends', 'fx', 'actions'));
alter table transfer drop constraint transfer_kind_check;
alter table transfer add constraint transfer_kind_check check (kind in (
    'deposit', 'withdrawal', 'trade', 'fee', 'tax', 'dividend', 'interest', 'fx', 'split', 'reversal', 'archive'));
insert into account (asset_id, kind, floor_zero)
    select a.id, k.kind, false from asset a cross join unnest(array['actions', 'taxes', 'interest', 'dividends', 'fx']) k (kind)
    where a.kind = 'currency' or k.kind = 'actions';

-- Statements of a period read a portfolio's lines by time.
create index transfer_portfolio_time on transfer (portfolio_id, ts_ns, id);

-- A transfer's hash covers who booked it and its memo too; `rev` says which of the two ways a row was hashed.
alter table transfer add column rev smallint not null default 1;
alter table transfer alter column rev set default 2;
alter table transfer alter column leaf set expression as (sha256(
    int8send(id) || int8send(group_id) || int4send(asset_id) || int8send(debit_id) || int8send(credit_id)
    || int8send(amount) || kind::bytea || int8send(portfolio_id) || int8send(coalesce(order_id, -1))
    || int8send(coalesce(input_seq, -1)) || int4send(coalesce(n, -1)) || int8send(ts_ns)
    || case when rev = 1 then ''::bytea
       else int8send(coalesce(actor_id, -1)) || replace(memo, '\', '\\')::bytea end));

-- Fills are sealed beside the transfers of the same transactions.
alter table fill add column xid xid8 not null default pg_current_xact_id();
create index fill_xid on fill (xid);
alter table ledger_block add column fills bigint not null default 0;
alter table ledger_block add column fills_root bytea;

-- Up to where the books were found sound, and each portfolio account's balance there: what is new is checked from it.
create table verified (
    id        int primary key check (id = 1),
    xid       xid8 not null,     -- transactions before it are over and checked
    block_id  bigint not null,
    first_seq bigint not null,   -- of the last chunk of inputs
    event_id  bigint not null,
    ts_ns     bigint not null
);
create table verified_balance (
    account_id bigint primary key references account,
    balance    numeric not null
);

-- An account's balance at a moment: statements of a period start from the nearest one.
create table balance_mark (
    account_id   bigint not null references account,
    portfolio_id bigint not null references portfolio,
    ts_ns        bigint not null,
    balance      bigint not null,    -- of all lines before ts_ns
    primary key (account_id, ts_ns)
);

-- Above this much a person's deposit or withdrawal takes a second admin; without a row 10,000 units of the currency.
create table cash_limit (
    asset_id           int not null references asset,
    version            int not null,
    second_admin_above bigint not null check (second_admin_above >= 0),
    set_by             bigint references app_user,
    set_ts_ns          bigint not null,
    primary key (asset_id, version)
);

-- A deposit or withdrawal that waits for an admin. A withdrawal's cash is held from the request on.
create table cash_request (
    id             bigint generated always as identity primary key,
    portfolio_id   bigint not null references portfolio,
    kind           text not null check (kind in ('deposit', 'withdrawal')),
    asset_id       int not null references asset,
    account_id     bigint not null references account,
    amount         bigint not null check (amount > 0),
    memo           text not null default '',
    state          text not null default 'pending'
                   check (state in ('pending', 'approved', 'declined', 'withdrawn', 'expired')),
    admins_needed  int not null check (admins_needed in (1, 2)),
    requested_by   bigint not null references app_user,
    requested_ts_ns bigint not null,
    expires_ns     bigint not null,
    first_by       bigint references app_user,   -- the first of two admins, where two are needed
    decided_by     bigint references app_user,
    decided_ts_ns  bigint,
    reason         text not null default '',
    group_id       bigint,
    check (first_by is distinct from requested_by and (first_by is null or first_by is distinct from decided_by)),
    check (state <> 'approved' or (decided_by is not null and decided_by <> requested_by and group_id is not null
           and (admins_needed = 1 or first_by is not null)))
);
create index cash_request_waiting on cash_request (portfolio_id) where state = 'pending';
create index cash_request_portfolio on cash_request (portfolio_id, id desc);

-- Interest of a portfolio's currency for a day, once: what is owed exactly adds up, what was booked follows it rounded.
create table interest_day (
    portfolio_id bigint not null references portfolio,
    asset_id     int not null references asset,
    day          date not null,
    balance      bigint not null,
    rate_ppm     bigint not null,
    exact        numeric not null,    -- minor units of this day, unrounded
    booked       bigint not null,     -- minor units booked for this day
    group_id     bigint,
    primary key (portfolio_id, asset_id, day)
);

-- A reset account's history and the portfolio that goes on in its place.
alter table portfolio add column archived_to bigint references portfolio;
