-- Fee schedules and corporate actions.

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

-- A split or dividend to come. Null where one of the kind is entered for the day already.
create or replace function enter_action(p_actor bigint, p jsonb, p_origin text, p_ts_ns bigint) returns bigint
language plpgsql security definer set search_path = public as $$
declare entered bigint;
begin
    insert into corporate_action (instrument_id, kind, ex_date, due_ts_ns, numerator, denominator, dividend, tax_ppm,
                                  reference_ticks, source, entered_by, entered_ts_ns)
        select instrument_id, kind, ex_date, due_ts_ns, numerator, denominator, dividend, tax_ppm, reference_ticks, source,
               nullif(p_actor, 0), p_ts_ns
        from jsonb_to_record(p) r (instrument_id int, kind text, ex_date date, due_ts_ns bigint, numerator bigint,
            denominator bigint, dividend numeric, tax_ppm bigint, reference_ticks bigint, source text)
        on conflict do nothing returning id into entered;
    if entered is not null then
        insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0),
            'actions.enter_' || (p ->> 'kind'), 'action:' || entered, 'ok', p_origin, p || jsonb_build_object('v', 1));
    end if;
    return entered;
end $$;

-- False where it is not pending any more.
create or replace function cancel_action(p_actor bigint, p_action bigint, p_origin text) returns boolean
language plpgsql security definer set search_path = public as $$
begin
    update corporate_action set state = 'cancelled' where id = p_action and state = 'pending';
    if not found then
        return false;
    end if;
    insert into audit (user_id, action, subject, result, origin)
        values (nullif(p_actor, 0), 'actions.cancel', 'action:' || p_action, 'ok', p_origin);
    return true;
end $$;

-- Due now. False where it is not pending any more.
create or replace function bring_action_forward(p_actor bigint, p_action bigint, p_origin text, p_ts_ns bigint)
returns boolean language plpgsql security definer set search_path = public as $$
begin
    update corporate_action set due_ts_ns = least(due_ts_ns, p_ts_ns) where id = p_action and state = 'pending';
    if not found then
        return false;
    end if;
    insert into audit (user_id, action, subject, result, origin)
        values (nullif(p_actor, 0), 'actions.bring_forward', 'action:' || p_action, 'ok', p_origin);
    return true;
end $$;

-- Asks the broker to book an action. The exclusive lock waits for orders that are being accepted: their commands come
-- before this one, and those that ask now are refused until it is booked. False where it is not pending any more.
create or replace function request_action(p_actor bigint, p_action bigint, p_reference_ticks bigint, p_origin text, p_ts_ns bigint)
returns boolean language plpgsql security definer set search_path = public as $$
declare a corporate_action;
begin
    perform pg_advisory_xact_lock(7001);
    update corporate_action set state = 'requested', reference_ticks = coalesce(p_reference_ticks, reference_ticks)
        where id = p_action and state = 'pending' returning * into a;
    if not found then
        return false;
    end if;
    insert into command (kind, payload, ts_ns) values ('action', jsonb_build_object('v', 1, 'action_id', a.id,
        'instrument_id', a.instrument_id, 'numerator', a.numerator, 'denominator', a.denominator,
        'dividend', a.dividend::text, 'tax_ppm', a.tax_ppm, 'reference_ticks', coalesce(a.reference_ticks, 0)), p_ts_ns);
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0), 'actions.book',
        'action:' || p_action, 'ok', p_origin, jsonb_build_object('v', 1, 'reference_ticks', a.reference_ticks));
    return true;
end $$;

-- Part of `commit_batch`: what actions did, beside transfers, balances and orders.
create or replace function book_actions(p jsonb) returns void language plpgsql security definer set search_path = public as $$
declare
    a record;
    changed int;
begin
    for a in select * from jsonb_to_recordset(p) r (id bigint, input_seq bigint, ts_ns bigint, effects jsonb, lots jsonb,
        reserves jsonb)
    loop
        update corporate_action set state = 'applied', input_seq = a.input_seq, applied_ts_ns = a.ts_ns
            where id = a.id and state = 'requested';
        if not found then
            raise exception 'action % was not asked for', a.id using errcode = 'TF006';
        end if;
        insert into action_effect (action_id, portfolio_id, input_seq, lots_before, lots_after, cash, tax, dropped,
                                   group_id, ts_ns)
            select a.id, portfolio_id, a.input_seq, lots_before, lots_after, cash, tax, dropped, group_id, a.ts_ns
            from jsonb_to_recordset(a.effects) e (portfolio_id bigint, lots_before bigint, lots_after bigint, cash bigint,
                tax bigint, dropped bigint, group_id bigint);
        insert into lot_action (lot_id, action_id, portfolio_id, lots_before, lots_after, cost_before, cost_after)
            select l.id, a.id, l.portfolio_id, c.lots_before, c.lots_after, c.cost_before, c.cost_after
            from jsonb_to_recordset(a.lots) c (order_id bigint, input_seq bigint, n int, lots_before bigint,
                lots_after bigint, cost_before bigint, cost_after bigint)
            join lot l on l.order_id = c.order_id and l.input_seq = c.input_seq and l.n = c.n;
        update lot l set quantity_lots = l.quantity_lots + c.lots_after - c.lots_before, remaining_lots = c.lots_after,
               cost = l.cost + c.cost_after - c.cost_before, remaining_cost = c.cost_after
            from lot_action c where c.action_id = a.id and c.lot_id = l.id
            and (l.remaining_lots, l.remaining_cost) = (c.lots_before, c.cost_before);
        get diagnostics changed = row_count;
        if changed <> jsonb_array_length(a.lots) then
            raise exception 'a lot of action % is not as it was', a.id using errcode = 'TF006';
        end if;
        update orders o set reserve_ticks = c.reserve_ticks
            from jsonb_to_recordset(a.reserves) c (order_id bigint, reserve_ticks bigint) where o.id = c.order_id
            and o.state not in ('filled', 'rejected', 'cancelled', 'expired');
    end loop;
end $$;
