-- The kill switch.

-- Exclusive lock, the row and its command, nothing else but the trail.
create or replace function set_halt(p_actor bigint, p_scope text, p_mode text, p_reason text, p_origin text, p_ts_ns bigint)
returns void language plpgsql security definer set search_path = public as $$
begin
    perform pg_advisory_xact_lock(7001);
    insert into halt_state (scope, mode, reason, set_by, ts_ns) values (p_scope, p_mode, p_reason, nullif(p_actor, 0), p_ts_ns)
        on conflict (scope) do update set mode = excluded.mode, reason = excluded.reason, set_by = excluded.set_by,
            ts_ns = excluded.ts_ns;
    insert into command (kind, payload, ts_ns) values (case p_mode when 'running' then 'resume' else 'halt' end,
        jsonb_build_object('v', 1, 'scope', p_scope, 'mode', p_mode), p_ts_ns);
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0), 'halt.set', p_scope,
        'ok', p_origin, jsonb_build_object('v', 1, 'mode', p_mode, 'reason', p_reason));
end $$;

-- Whoever inserts an order or a fill takes the halt lock shared and reads the state, whether the code
-- remembered to ask or not. VOLATILE and READ COMMITTED: each statement inside sees what has been committed by then.
create or replace function refuse_when_halted() returns trigger language plpgsql volatile security definer
set search_path = public as $$
declare
    floor_mode text;
    stopped text;
begin
    perform pg_advisory_xact_lock_shared(7001);
    select mode into floor_mode from halt_state where scope = 'floor';
    if floor_mode is null or floor_mode = 'halted' then
        raise exception 'HALTED: floor' using errcode = 'TF001';
    end if;
    if tg_table_name = 'orders' then
        select h.scope into stopped from new_rows n
            join portfolio p on p.id = n.portfolio_id
            join halt_state h on h.scope in ('floor', 'user:' || p.owner_id, 'instrument:' || n.instrument_id)
            where h.mode = 'halted' or (h.mode = 'reducing' and n.effect = 'open') limit 1;
    else
        select h.scope into stopped from new_rows n
            join portfolio p on p.id = n.portfolio_id
            join halt_state h on h.scope in ('user:' || p.owner_id, 'instrument:' || n.instrument_id)
            where h.mode = 'halted' limit 1;
    end if;
    if stopped is not null then
        raise exception 'HALTED: %', stopped using errcode = 'TF001';
    end if;
    return null;
end $$;
create or replace trigger orders_halt after insert on orders
    referencing new table as new_rows for each statement execute function refuse_when_halted();
create or replace trigger fill_halt after insert on fill
    referencing new table as new_rows for each statement execute function refuse_when_halted();
