-- Above single orders: batches, schedules, parents.

-- A batch begins: claims its key (none: a preview), takes the halt lock, makes the accounts that its tickets need and
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

-- A new schedule: claims its key, and has those who plan for the same portfolio wait for each other, so that their
-- number is right. Answers like claim_key.
create or replace function claim_schedule(p_user bigint, p_key text, p_hash bytea, p_portfolio bigint) returns jsonb
language plpgsql security definer set search_path = public as $$
begin
    perform pg_advisory_xact_lock(7011, (p_portfolio % 2147483647)::int);
    return claim_key(p_user, 'schedules.create', p_key, p_hash);
end $$;
