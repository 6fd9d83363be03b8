-- The kill switch.

-- Open orders of a portfolio or a strategy, by id; the engine does not know these scopes, so a halt names them to it.
create or replace function open_orders_of(p_scope text) returns bigint[] language sql stable set search_path = public as $$
    select coalesce(array_agg(id order by id), '{}') from orders
    where case split_part(p_scope, ':', 1)
              when 'portfolio' then portfolio_id = substr(p_scope, 11)::bigint
              when 'strategy' then strategy = substr(p_scope, 10)
              else false end
      and state not in ('filled', 'rejected', 'cancelled', 'expired');
$$;

-- Exclusive lock, the row and its command, nothing else but the trail. Whoever was in the middle of an order has
-- committed once the lock is ours, so a command names every open order of its scope; those that have not reached the
-- exchange yet are refused there. While the file HALT lies in the data folder the floor stays halted.
create or replace function set_halt(p_actor bigint, p_scope text, p_mode text, p_reason text, p_origin text, p_ts_ns bigint)
returns void language plpgsql security definer set search_path = public as $$
begin
    perform pg_advisory_xact_lock(7001);
    if p_mode <> 'halted' and exists (select 1 from halt_state where scope = p_scope and by_file) then
        raise exception 'HALT FILE' using errcode = 'TF007';
    end if;
    insert into halt_state (scope, mode, reason, set_by, ts_ns) values (p_scope, p_mode, p_reason, nullif(p_actor, 0), p_ts_ns)
        on conflict (scope) do update set mode = excluded.mode, reason = excluded.reason, set_by = excluded.set_by,
            ts_ns = excluded.ts_ns;
    insert into command (kind, payload, ts_ns) values (case p_mode when 'running' then 'resume' else 'halt' end,
        jsonb_build_object('v', 1, 'scope', p_scope, 'mode', p_mode) || case when p_mode = 'halted'
            then jsonb_build_object('orders', open_orders_of(p_scope)) else '{}' end, p_ts_ns);
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0), 'halt.set', p_scope,
        'ok', p_origin, jsonb_build_object('v', 1, 'mode', p_mode, 'reason', p_reason));
end $$;

-- The file HALT came or went. It halts; that it has gone lets a person open the floor again and does not open it.
create or replace function halt_by_file(p_present boolean, p_reason text, p_ts_ns bigint) returns void
language plpgsql security definer set search_path = public as $$
begin
    perform pg_advisory_xact_lock(7001);
    if p_present and not exists (select 1 from halt_state where scope = 'floor' and mode = 'halted') then
        perform set_halt(0, 'floor', 'halted', p_reason, 'file', p_ts_ns);
    end if;
    update halt_state set by_file = p_present where scope = 'floor' and by_file <> p_present;
end $$;

-- Whoever inserts an order or a fill takes the halt lock shared and reads the state, whether the code remembered to ask
-- or not. VOLATILE and READ COMMITTED: each statement inside sees what has been committed by then.

-- An order comes in: it keeps the rules of its row, names what is there, its portfolio is not archived, nothing stops it, and it is counted. One
-- question for all of that, for each question costs more than its answer. A foreign key would also lock the rows named.
-- Which order came in last is noted for the transaction: rows that name it need not look it up.
create or replace function admit_order() returns trigger language plpgsql volatile as $$
declare
    waited constant boolean := pg_advisory_xact_lock_shared(7001) is null;
    there boolean;
    alive boolean;
    running boolean;
    stopped text;
    admitted text;
    sound constant boolean := is_sound(new);
begin
    select exists (select 1 from instrument_version where instrument_id = new.instrument_id
                   and version = new.instrument_version)
           and exists (select 1 from app_user where id = new.actor_id)
           and (new.group_id is null or new.group_id = new.id or exists (select 1 from orders where id = new.group_id)),
           (select archived_at is null from portfolio where id = new.portfolio_id),
           (select bool_or(scope = 'floor') and bool_and(mode = 'running') from halt_state)
        into there, alive, running;
    if running is distinct from true then
        if not exists (select 1 from halt_state where scope = 'floor' and mode <> 'halted') then
            raise exception 'HALTED: floor' using errcode = 'TF001';
        end if;
        select h.scope into stopped from portfolio p
            join halt_state h on h.scope in ('floor', 'user:' || p.owner_id, 'instrument:' || new.instrument_id,
                                             'portfolio:' || new.portfolio_id, 'strategy:' || new.strategy)
            where p.id = new.portfolio_id and (h.mode = 'halted' or (h.mode = 'reducing' and new.effect = 'open')) limit 1;
        if stopped is not null then
            raise exception 'HALTED: %', stopped using errcode = 'TF001';
        end if;
    end if;
    if alive is null or not there then
        raise exception 'a row of orders names what is not there' using errcode = 'foreign_key_violation';
    end if;
    if not alive then
        raise exception 'portfolio % is archived', new.portfolio_id using errcode = 'TF006';
    end if;
    if new.parent_id is not null then
        perform check_child(new);
    end if;
    if new.state not in ('filled', 'rejected', 'cancelled', 'expired') then
        update order_count set open_orders = open_orders + 1 where portfolio_id = new.portfolio_id;
    end if;
    admitted := set_config('tradefloor.admitted', new.id::text, true);
    return new;
end $$;
create or replace trigger orders_admitted before insert on orders for each row execute function admit_order();
drop trigger if exists orders_halt on orders;
drop trigger if exists orders_references on orders;
drop function if exists check_orders_references();

-- A fill is stopped by a halt alone; while nothing but the floor is written down, nothing else is looked at.
create or replace function refuse_when_halted() returns trigger language plpgsql volatile security definer
set search_path = public as $$
declare
    floor_mode text;
    others bigint;
    stopped text;
begin
    perform pg_advisory_xact_lock_shared(7001);
    select max(mode) filter (where scope = 'floor'), count(*) filter (where scope <> 'floor' and mode <> 'running')
        into floor_mode, others from halt_state;
    if floor_mode is null or floor_mode = 'halted' then
        raise exception 'HALTED: floor' using errcode = 'TF001';
    end if;
    if others > 0 then
        select h.scope into stopped from new_rows n
            join portfolio p on p.id = n.portfolio_id
            join orders o on o.id = n.order_id
            join halt_state h on h.scope in ('user:' || p.owner_id, 'instrument:' || n.instrument_id,
                                             'portfolio:' || n.portfolio_id, 'strategy:' || o.strategy)
            where h.mode = 'halted' limit 1;
    end if;
    if stopped is not null then
        raise exception 'HALTED: %', stopped using errcode = 'TF001';
    end if;
    return null;
end $$;
create or replace trigger fill_halt after insert on fill
    referencing new table as new_rows for each statement execute function refuse_when_halted();
