-- Above single orders: batches, schedules, parents.

-- A batch begins: claims its key (none: a preview), takes the halt lock and the user's, makes the accounts that its tickets need and
-- locks them all in the order of their ids, before the first ticket is judged.
create or replace function batch_open(p_user bigint, p_operation text, p_key text, p_hash bytea, p_portfolio bigint,
                           p_symbols text[], p_venues text[])
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    known jsonb;
    assets int[];
begin
    if p_key is not null then
        known := claim_key(p_user, p_operation, p_key, p_hash);
        if known is not null then
            return known;
        end if;
    end if;
    perform pg_advisory_xact_lock_shared(7001);
    perform pg_advisory_xact_lock(7005, p_user::int);
    select array_agg(distinct a.id) into assets
        from unnest(p_symbols, p_venues) t (symbol, venue)
        join instrument_current v on v.symbol = t.symbol and v.venue = t.venue
        cross join unnest(array[v.currency_id, v.asset_id]) a (id);
    perform account_of(p_portfolio, a.id) from unnest(assets) a (id)
        where not exists (select 1 from account where portfolio_id = p_portfolio and asset_id = a.id and kind = 'portfolio');
    perform 1 from account where portfolio_id = p_portfolio and asset_id = any (assets) and kind = 'portfolio'
        order by id for no key update;
    return '{}';
end $$;

-- A batch ends: its answer is kept under its key, each refusal with its place in the trail.
create or replace function batch_close(p_user bigint, p_operation text, p_key text, p_origin text, p_portfolio bigint,
                            p_answer jsonb)
returns void language plpgsql security definer set search_path = public as $$
begin
    insert into audit (user_id, action, subject, result, code, origin, detail)
        select p_user, p_operation, 'portfolio:' || p_portfolio, 'refused', each ->> 'code', p_origin,
               each || jsonb_build_object('v', 1, 'place', place)
        from jsonb_array_elements(p_answer -> 'answers') with ordinality a (each, place) where each ? 'code'
        order by place;
    update idempotency_key set answer = p_answer where user_id = p_user and operation = p_operation and key = p_key;
end $$;

-- Those who plan for a portfolio, and who archives it, wait for each other until their transactions end: the number of
-- what is planned is right, and nothing is planned for an archive.
create or replace function lock_plans(p_portfolio bigint) returns void language sql as $$
    select pg_advisory_xact_lock(7011, (p_portfolio % 2147483647)::int);
$$;

-- A new schedule or parent: claims its key. Answers like claim_key; of an archive {"archived": true}, to be rolled back.
create or replace function claim_planned(p_user bigint, p_operation text, p_key text, p_hash bytea, p_portfolio bigint)
returns jsonb language plpgsql security definer set search_path = public as $$
declare known jsonb;
begin
    perform lock_plans(p_portfolio);
    known := claim_key(p_user, p_operation, p_key, p_hash);
    if known is null and exists (select 1 from portfolio where id = p_portfolio and archived_at is not null) then
        return '{"archived": true}';
    end if;
    return known;
end $$;

-- A child is taken only while its parent's plan asks for it with just this size. So a clerk that was frozen and wakes up
-- later cannot send what has been given back meanwhile, and children never come to more than their parent.
create or replace function check_child(o orders) returns void language plpgsql as $$
declare
    p parent_order;
begin
    select * into p from parent_order where id = o.parent_id for share;
    if p.portfolio_id is distinct from o.portfolio_id or p.instrument_id <> o.instrument_id
       or p.state in ('filled', 'ended', 'cancelled') or not exists (
           select 1 from jsonb_array_elements(p.plan -> 'live') c where (c ->> 'n')::int = o.child_n
           and (c ->> 'lots')::bigint = o.quantity_lots and not (c ->> 'asked')::boolean) then
        raise exception 'parent %: child % is not asked for', o.parent_id, o.child_n using errcode = 'TF007';
    end if;
end $$;
drop trigger if exists orders_child on orders;
drop function if exists check_child();

-- A parent moves on, from the version that was read; false where another has moved it, or where a child that is to be
-- given back (`p_returned`) has become an order.
create or replace function parent_save(p_id bigint, p_version int, p_state text, p_code text, p_reason text, p_plan jsonb,
                            p_mark jsonb, p_returned int[], p_ts_ns bigint, p_user bigint, p_origin text)
returns boolean language plpgsql security definer set search_path = public as $$
declare
    was parent_order;
begin
    select * into was from parent_order where id = p_id for update;
    if was.version is distinct from p_version
       or exists (select 1 from orders where parent_id = p_id and child_n = any (p_returned)) then
        return false;
    end if;
    update parent_order set state = p_state, code = p_code, reason = p_reason, plan = p_plan, mark = p_mark,
        version = version + 1, updated_ts_ns = p_ts_ns where id = p_id;
    if p_state <> was.state then
        insert into audit (user_id, action, subject, result, code, origin, detail)
            values (p_user, 'parents.' || p_state, 'parent:' || p_id, 'ok', p_code, p_origin,
                    jsonb_build_object('v', 1, 'was', was.state, 'reason', p_reason));
    end if;
    return true;
end $$;
