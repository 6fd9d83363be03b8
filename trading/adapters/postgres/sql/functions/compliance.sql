-- Looks at others' portfolios, the end of what need not be kept, and the erasure of a person.

-- One row of the trail for each user, session, portfolio and hour.
create or replace function note_access(p_user bigint, p_session bytea, p_portfolio bigint, p_hour bigint,
                                       p_operation text, p_origin text)
returns void language plpgsql security definer set search_path = public as $$
begin
    insert into access_seen (user_id, session, portfolio_id, hour) values (p_user, p_session, p_portfolio, p_hour)
        on conflict do nothing;
    if found then
        insert into audit (user_id, action, subject, result, origin, detail) values (p_user, 'access.portfolio',
            'portfolio:' || p_portfolio, 'ok', p_origin, jsonb_build_object('v', 1, 'first', p_operation));
    end if;
end $$;

-- Delete at most p_limit rows that ended before a moment, with a row of the trail; returns how many.
create or replace function prune(p_what text, p_before timestamptz, p_limit int, p_origin text) returns bigint
language plpgsql security definer set search_path = public as $$
declare
    before_ns bigint := (extract(epoch from p_before) * 1000000000)::bigint;
    gone bigint;
begin
    case p_what
    when 'sessions' then
        delete from app_session where ctid = any (array(
            select ctid from app_session where expires_at < p_before or revoked_at < p_before limit p_limit));
    when 'login_attempts' then
        delete from login_attempt where ctid = any (array(
            select ctid from login_attempt where last_at < p_before limit p_limit));
    when 'idempotency_keys' then
        -- An open order is still known by the key it was sent under.
        delete from idempotency_key where ctid = any (array(
            select k.ctid from idempotency_key k where k.created_at < p_before and not (
                k.operation = 'desk.submit' and exists (select 1 from orders o
                    where (o.id = (k.answer ->> 'order_id')::bigint or o.group_id = (k.answer #>> '{group,0}')::bigint)
                    and o.state not in ('filled', 'rejected', 'cancelled', 'expired')))
            limit p_limit));
    when 'outbox' then
        delete from outbox where ctid = any (array(select ctid from outbox where published_at < p_before limit p_limit));
    when 'access_marks' then
        delete from access_seen where ctid = any (array(
            select ctid from access_seen where hour < before_ns / 3600000000000 limit p_limit));
    when 'monitor_cycles' then
        delete from monitor_cycle where ctid = any (array(
            select ctid from monitor_cycle where ts_ns < before_ns limit p_limit));
    else
        raise exception 'nothing called % is deleted', p_what using errcode = 'TF006';
    end case;
    get diagnostics gone = row_count;
    if gone > 0 then
        insert into audit (action, subject, result, origin, detail) values ('compliance.prune', p_what, 'ok', p_origin,
            jsonb_build_object('v', 1, 'rows', gone, 'before', p_before));
    end if;
    return gone;
end $$;

-- The trail is never edited, but for the names in it of a person that is being erased: by the function below alone.
create or replace function refuse_audit_edit() returns trigger language plpgsql as $$
begin
    if coalesce(current_setting('tradefloor.erasing', true), '') = 'on' and current_user = 'tf_owner'
       and (new.id, new.at, new.user_id, new.action, new.result, new.code)
           is not distinct from (old.id, old.at, old.user_id, old.action, old.result, old.code) then
        return new;
    end if;
    raise exception 'UPDATE on audit is not allowed: history is kept' using errcode = 'TF005';
end $$;

-- A JSON value in which none of the words is a whole text any more; names of its fields stay.
create or replace function without_words(p_value jsonb, p_words text[]) returns jsonb language plpgsql immutable as $$
declare
    word text;
    plain text := p_value::text;
begin
    foreach word in array p_words loop
        word := to_jsonb(word)::text;
        plain := replace(replace(plain, ': ' || word, ': "erased"'), '[' || word, '["erased"');
        plain := replace(replace(plain, ', ' || word || ',', ', "erased",'), ', ' || word || ']', ', "erased"]');
    end loop;
    return plain::jsonb;
end $$;

-- Take a person's name out of everything. What the person did stays, under a pseudonym; nothing of the ledger changes.
create or replace function erase_person(p_admin bigint, p_user bigint, p_confirmation text, p_origin text) returns jsonb
language plpgsql security definer set search_path = public as $$
declare
    person app_user;
    pseudonym text := 'erased-' || p_user;
    own bigint[];
    names text[];
    subjects text[];
    many bigint;
begin
    perform 1 from app_user where role = 'admin' and disabled_at is null order by id for update;
    select * into person from app_user where id = p_user for update;
    if not found then
        return jsonb_build_object('refused', 'unknown_user');
    elsif person.erased_at is not null then
        return jsonb_build_object('refused', 'already_erased');
    elsif p_user = p_admin then
        return jsonb_build_object('refused', 'own_login');
    elsif p_confirmation <> person.username then
        return jsonb_build_object('refused', 'not_confirmed');
    elsif person.role = 'admin' and person.disabled_at is null and not exists (
            select 1 from app_user where role = 'admin' and disabled_at is null and id <> p_user) then
        return jsonb_build_object('refused', 'last_admin');
    end if;
    perform 1 from account a join portfolio p on p.id = a.portfolio_id where p.owner_id = p_user
        order by a.id for update of a;
    select count(*) into many from portfolio p join (
        select portfolio_id from orders where state not in ('filled', 'rejected', 'cancelled', 'expired')
        union all select portfolio_id from parent_order where state in ('working', 'paused', 'stopping')
        union all select portfolio_id from schedule where state in ('active', 'paused')
        ) o on o.portfolio_id = p.id where p.owner_id = p_user;
    if many > 0 then
        return jsonb_build_object('refused', 'open_orders', 'count', many);
    end if;
    select count(*) into many from account a join portfolio p on p.id = a.portfolio_id
        where p.owner_id = p_user and (a.posted <> 0 or a.held <> 0);
    if many > 0 then
        return jsonb_build_object('refused', 'balances_left', 'count', many);
    end if;
    select array_agg(id), array_agg(name) into own, names from portfolio where owner_id = p_user;
    names := names || array[person.username, person.display_name]
        || array(select name from broker_account where portfolio_id = any (own));
    subjects := array[person.username, 'user:' || p_user]
        || array(select 'portfolio:' || unnest(own))
        || array(select 'account:' || id from broker_account where portfolio_id = any (own));
    delete from app_session where user_id = p_user;
    delete from login_attempt where username = person.username;
    delete from portfolio_grant where observer_id = p_user;
    perform set_config('tradefloor.erasing', 'on', true);
    update audit set origin = case when user_id = p_user then 'erased' else origin end,
        subject = case when subject = person.username then pseudonym
                       when action = 'create_portfolio' then 'Portfolio ' || (detail ->> 'portfolio_id') else subject end,
        detail = without_words(detail, names)
        where user_id = p_user or subject = any (subjects)
           or (action = 'create_portfolio' and (detail ->> 'owner_id')::bigint = p_user);
    perform set_config('tradefloor.erasing', 'off', true);
    update broker_account set enabled = false, name = 'Account ' || id, key_name = '' where portfolio_id = any (own);
    update monitor_cycle set by_whom = pseudonym where by_whom = person.username;
    update portfolio set name = 'Portfolio ' || id where owner_id = p_user;
    update app_user set username = pseudonym, display_name = 'Erased person', password_hash = 'erased',
        disabled_at = coalesce(disabled_at, now()), erased_at = now(), token_version = token_version + 1
        where id = p_user;
    insert into audit (user_id, action, subject, result, origin) values (nullif(p_admin, 0), 'compliance.erase_person',
        'user:' || p_user, 'ok', p_origin);
    return jsonb_build_object('pseudonym', pseudonym);
end $$;
