-- Schedules of fees and taxes, corporate actions and what they did.

-- Fees ---------------------------------------------------------------------------------------------------------------

alter table instrument_version
    add column fee_maximum bigint check (fee_maximum >= fee_minimum),
    add column fee_maker_ppm bigint check (fee_maker_ppm >= 0),
    add column fee_charges jsonb not null default '[]',  -- named lines, see trading/domain/fees.py
    add column fee_set boolean not null default false;   -- by an admin: the shipped table does not take it back
create or replace view instrument_current with (security_invoker = true) as
    select distinct on (v.instrument_id) i.symbol, i.venue, v.*
    from instrument_version v join instrument i on i.id = v.instrument_id
    order by v.instrument_id, v.version desc;

alter table fill
    add column tax bigint not null default 0,            -- the part of `fee` that is taxes
    add column charges jsonb not null default '[]',      -- [name, fee or tax, amount] where the schedule names lines
    add constraint fill_tax check (tax between 0 and fee);

-- Corporate actions --------------------------------------------------------------------------------------------------

create table corporate_action (
    id              bigint generated always as identity primary key,
    instrument_id   int not null references instrument,
    kind            text not null check (kind in ('split', 'dividend')),
    ex_date         date not null,
    due_ts_ns       bigint not null,                       -- when the session of the ex-date opens
    numerator       bigint not null default 1 check (numerator between 1 and 10000),      -- new lots
    denominator     bigint not null default 1 check (denominator between 1 and 10000),    -- for so many old ones
    dividend        numeric not null default 0 check (dividend >= 0 and dividend <> 'NaN'),  -- currency a share
    tax_ppm         bigint not null default 0 check (tax_ppm between 0 and 1000000),
    reference_ticks bigint check (reference_ticks > 0),    -- price before the split, at which fractions are paid
    source          text not null default '',
    state           text not null default 'pending' check (state in ('pending', 'requested', 'applied', 'cancelled')),
    entered_by      bigint references app_user,
    entered_ts_ns   bigint not null,
    applied_ts_ns   bigint,
    input_seq       bigint unique,
    check ((kind = 'split') = (numerator <> denominator)),
    check ((kind = 'dividend') = (dividend > 0)),
    check (kind = 'dividend' or tax_ppm = 0),
    check ((state = 'applied') = (input_seq is not null))
);
create unique index corporate_action_once on corporate_action (instrument_id, kind, ex_date) where state <> 'cancelled';

-- What an action did to a portfolio: lots (negative when short), cash before tax, and the cost of what is gone.
create table action_effect (
    action_id    bigint not null references corporate_action,
    portfolio_id bigint not null references portfolio,
    input_seq    bigint not null,
    lots_before  bigint not null check (lots_before <> 0),
    lots_after   bigint not null,
    cash         bigint not null,
    tax          bigint not null check (tax >= 0),
    dropped      bigint not null,
    group_id     bigint not null,
    ts_ns        bigint not null,
    primary key (action_id, portfolio_id)
);
create index action_effect_portfolio on action_effect (portfolio_id, ts_ns);

-- What a split did to a lot. Its quantity and cost change by as much as the rest of it: what was closed stays closed.
create table lot_action (
    lot_id      bigint not null references lot,
    action_id   bigint not null references corporate_action,
    portfolio_id bigint not null references portfolio,
    lots_before bigint not null,
    lots_after  bigint not null,
    cost_before bigint not null,
    cost_after  bigint not null,
    primary key (lot_id, action_id)
);
alter table lot drop constraint lot_quantity_lots_check, add constraint lot_quantity_lots_check check (quantity_lots >= 0);

alter table command drop constraint command_kind_check;
alter table command add constraint command_kind_check check (kind in
    ('submit', 'group', 'cancel', 'modify', 'halt', 'resume', 'action'));
create index command_action_waiting on command (((payload ->> 'instrument_id')::int))
    where kind = 'action' and input_seq is null;
