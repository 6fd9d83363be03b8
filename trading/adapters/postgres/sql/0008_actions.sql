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
