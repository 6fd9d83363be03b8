-- Fee schedules.

-- The next version of an instrument, with other fees. `p` is named like `FeeSchedule`. Orders keep the version that they
-- were accepted on.
create or replace function set_fee_schedule(p_actor bigint, p_instrument int, p jsonb, p_origin text) returns int
language plpgsql security definer set search_path = public as $$
declare next instrument_version;
begin
    perform pg_advisory_xact_lock(7003);  -- as whoever keeps the shipped table
    select * into next from instrument_version where instrument_id = p_instrument order by version desc limit 1;
    if not found then
        raise exception 'no such instrument' using errcode = 'TF006';
    end if;
    next.version := next.version + 1;
    next.fee_version := next.version;
    next.fee_per_lot_millis := (p ->> 'per_lot_millis')::bigint;
    next.fee_rate_ppm := (p ->> 'rate_ppm')::bigint;
    next.fee_minimum := (p ->> 'minimum')::bigint;
    next.fee_maximum := (p ->> 'maximum')::bigint;
    next.fee_maker_ppm := (p ->> 'maker_ppm')::bigint;
    next.fee_charges := p -> 'charges';
    next.fee_set := true;
    next.valid_from := now();
    insert into instrument_version select next.*;
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0), 'fees.set_schedule',
        'instrument:' || p_instrument, 'ok', p_origin, p || jsonb_build_object('v', 1, 'version', next.version));
    return next.version;
end $$;
