-- Requests that wait for an admin, settlement, conversion, archives. Money itself moves by post_group alone.

-- Proceeds that have not settled: what sales (less their fees) and conversions brought into an account since the cutoff
-- of their market. p_cutoffs is [{"asset_class", "calendar", "from_ns"}]; a conversion settles as class and calendar fx.
-- Answers with one element for each market: asset_class, calendar, amount, last_ns. Runs as who calls it: an observer
-- sees what is granted.
create or replace function unsettled(p_portfolio bigint, p_asset int, p_cutoffs jsonb) returns jsonb
language sql stable set search_path = public as $$
    select coalesce(jsonb_agg(to_jsonb(m)), '[]') from (
        select c.asset_class, c.calendar, sum(case when t.credit_id = a.id then t.amount else -t.amount end) as amount,
               max(t.ts_ns) as last_ns
        from transfer t
        join account a on a.portfolio_id = t.portfolio_id and a.asset_id = t.asset_id and a.kind = 'portfolio'
        left join orders o on o.id = t.order_id
        left join instrument_version v on v.instrument_id = o.instrument_id and v.version = o.instrument_version
        join jsonb_to_recordset(p_cutoffs) c (asset_class text, calendar text, from_ns bigint)
            on c.asset_class = coalesce(v.asset_class, 'fx') and c.calendar = coalesce(v.profile ->> 'calendar', 'FX')
            and t.ts_ns >= c.from_ns
        where t.portfolio_id = p_portfolio and t.asset_id = p_asset
          and t.ts_ns >= (select min((e ->> 'from_ns')::bigint) from jsonb_array_elements(p_cutoffs) e)
          and (o.side = 'sell' or (t.kind = 'fx' and t.credit_id = a.id))
        group by 1, 2 having sum(case when t.credit_id = a.id then t.amount else -t.amount end) > 0) m;
$$;

-- Why an amount may not leave a cash portfolio's account although it is there: proceeds that have not settled. Else null.
create or replace function not_settled(p_portfolio bigint, p_asset int, p_amount bigint, p_free bigint, p_cutoffs jsonb)
returns jsonb language sql stable security definer set search_path = public as $$
    select jsonb_build_object('v', 1, 'refused', 'not_settled', 'available', greatest(p_free - u.total, 0), 'needed',
                              p_amount, 'unsettled', u.total, 'markets', u.markets, 'asset', s.code, 'scale', s.scale)
    from (select markets, (select sum((m ->> 'amount')::bigint) from jsonb_array_elements(markets) m) as total
          from unsettled(p_portfolio, p_asset, p_cutoffs) markets) u
    join asset s on s.id = p_asset
    where p_free - u.total < p_amount
      and exists (select 1 from portfolio where id = p_portfolio and kind = 'cash');
$$;

-- Asks for a deposit or a withdrawal. A withdrawal's cash is held at once, for as long as the request waits.
-- p_cutoffs as in `unsettled`, p_marks as in `margin_refusal`.
drop function if exists request_cash(bigint, bigint, text, bigint, text, bytea, text, text, bigint, bigint, jsonb);
create or replace function request_cash(p_actor bigint, p_portfolio bigint, p_kind text, p_amount bigint, p_key text,
                                        p_hash bytea, p_memo text, p_origin text, p_ts_ns bigint, p_expires_ns bigint,
                                        p_cutoffs jsonb, p_marks jsonb)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    request_no bigint := nextval(pg_get_serial_sequence('cash_request', 'id'));
    reply jsonb := jsonb_build_object('v', 1, 'request_id', request_no);
    known idempotency_key;
    who app_user;
    currency int;
    own account;
begin
    insert into idempotency_key (user_id, operation, key, request_hash, answer)
        values (p_actor, 'wallet.request', p_key, p_hash, reply) on conflict do nothing;
    if not found then
        select * into known from idempotency_key
            where user_id = p_actor and operation = 'wallet.request' and key = p_key;
        return case when known.request_hash = p_hash then jsonb_build_object('answer', known.answer)
                    else jsonb_build_object('conflict', 'key_reused') end;
    end if;
    select * into who from app_user where id = p_actor and disabled_at is null;
    select currency_id into currency from portfolio
        where id = p_portfolio and (who.role = 'admin' or (owner_id = p_actor and p_kind = 'withdrawal'));
    if not found then
        raise exception 'no such portfolio' using errcode = 'TF006';
    end if;
    select * into own from account where id = account_of(p_portfolio, currency) for no key update;
    if not exists (select 1 from portfolio where id = p_portfolio and archived_at is null) then
        raise exception 'no such portfolio' using errcode = 'TF006';
    end if;
    if p_kind = 'withdrawal' then
        reply := case when own.floor_zero and own.posted - own.held < p_amount then (
            select jsonb_build_object('v', 1, 'refused', 'insufficient_cash', 'available', own.posted - own.held, 'needed',
                                      p_amount, 'asset', code, 'scale', scale) from asset where id = currency)
            else coalesce(margin_refusal(p_portfolio, currency, p_amount, p_marks),
                          not_settled(p_portfolio, currency, p_amount, own.posted - own.held, p_cutoffs)) end;
        if reply is not null then
            return refuse_posting(p_actor, p_portfolio, 'wallet.request', p_key, reply, p_origin);
        end if;
        update account set held = held + p_amount where id = own.id;
        reply := jsonb_build_object('v', 1, 'request_id', request_no);
    end if;
    insert into cash_request (id, portfolio_id, kind, asset_id, account_id, amount, memo, admins_needed, requested_by,
                              requested_ts_ns, expires_ns) overriding system value
        values (request_no, p_portfolio, p_kind, currency, own.id, p_amount, p_memo,
                case when who.role = 'trader' and p_amount > second_admin_above(currency) then 2 else 1 end, p_actor,
                p_ts_ns, p_expires_ns);
    insert into audit (user_id, action, subject, result, origin, detail) values (p_actor, 'wallet.request',
        'portfolio:' || p_portfolio, 'ok', p_origin,
        reply || jsonb_build_object('kind', p_kind, 'amount', p_amount, 'memo', p_memo));
    insert into outbox (event) values (jsonb_build_object('v', 1, 'topic', 'cash', 'portfolio_id', p_portfolio));
    return jsonb_build_object('answer', reply);
end $$;

-- What an admin, or who asked, makes of a request: approve, decline, withdraw. Of two approvals at once one waits for the
-- other and finds the request decided. Who asked can't approve, nor can one admin be two. p_marks as in `margin_refusal`.
drop function if exists decide_cash(bigint, bigint, text, text, text, bigint);
create or replace function decide_cash(p_actor bigint, p_request bigint, p_verb text, p_reason text, p_origin text,
                                       p_ts_ns bigint, p_marks jsonb)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    r cash_request;
    refused text;
    reply jsonb;
begin
    select * into r from cash_request where id = p_request for update;
    if not found then
        raise exception 'no such request' using errcode = 'TF006';
    end if;
    refused := case
        when r.state <> 'pending' then 'already_decided'
        when r.expires_ns <= p_ts_ns then 'expired'
        when p_verb = 'withdraw' and r.requested_by <> p_actor then 'not_yours'
        when p_verb = 'withdraw' then null
        when not exists (select 1 from app_user where id = p_actor and role = 'admin' and disabled_at is null)
            then 'forbidden'
        when p_verb = 'approve' and p_actor in (r.requested_by, r.first_by) then 'same_person' end;
    if refused is not null then
        insert into audit (user_id, action, subject, result, code, origin) values (p_actor, 'wallet.' || p_verb,
            'request:' || p_request, 'refused', refused, p_origin);
        return jsonb_build_object('answer', jsonb_build_object('v', 1, 'refused', refused, 'state', r.state));
    end if;
    if p_verb = 'approve' and r.admins_needed = 2 and r.first_by is null then
        update cash_request set first_by = p_actor where id = p_request;
        reply := jsonb_build_object('v', 1, 'state', 'pending');
    elsif p_verb = 'approve' then
        perform release_request(r);  -- which locks the account
        if r.kind = 'withdrawal' then
            reply := margin_refusal(r.portfolio_id, r.asset_id, r.amount, p_marks);
        end if;
        if reply is null then
            reply := post_group(p_actor, r.portfolio_id, 'ledger.' || r.kind, 'request:' || r.id || ':' || p_ts_ns,
                ''::bytea, array[r.asset_id], array[case r.kind when 'deposit' then r.amount else -r.amount end],
                array['deposits'], array[r.kind], r.memo, p_origin, p_ts_ns) -> 'answer';
        else
            insert into audit (user_id, action, subject, result, code, origin, detail) values (p_actor, 'wallet.approve',
                'request:' || p_request, 'refused', reply ->> 'refused', p_origin, reply);
        end if;
        if reply ? 'refused' then
            update account set held = held + r.amount where id = r.account_id and r.kind = 'withdrawal';
            return jsonb_build_object('answer', reply);
        end if;
        update cash_request set state = 'approved', decided_by = p_actor, decided_ts_ns = p_ts_ns, reason = p_reason,
            group_id = (reply ->> 'group_id')::bigint where id = p_request;
        reply := reply || '{"state": "approved"}';
    else
        perform release_request(r);
        reply := jsonb_build_object('v', 1, 'state', case p_verb when 'decline' then 'declined' else 'withdrawn' end);
        update cash_request set state = reply ->> 'state', decided_by = p_actor, decided_ts_ns = p_ts_ns, reason = p_reason
            where id = p_request;
    end if;
    insert into audit (user_id, action, subject, result, origin, detail) values (p_actor, 'wallet.' || p_verb,
        'request:' || p_request, 'ok', p_origin, reply || jsonb_build_object('portfolio_id', r.portfolio_id, 'kind', r.kind,
        'amount', r.amount, 'reason', p_reason));
    insert into outbox (event) values (jsonb_build_object('v', 1, 'topic', 'cash', 'portfolio_id', r.portfolio_id));
    return jsonb_build_object('answer', reply);
end $$;

-- Gives back what a request held.
create or replace function release_request(r cash_request) returns void language sql security definer
set search_path = public as $$
    update account set held = held - r.amount where id = r.account_id and r.kind = 'withdrawal';
$$;

-- Requests that nobody decided in time are over; returns how many.
create or replace function expire_requests(p_ts_ns bigint) returns bigint
language plpgsql security definer set search_path = public as $$
declare
    r cash_request;
    many bigint := 0;
begin
    for r in select * from cash_request where state = 'pending' and expires_ns <= p_ts_ns order by account_id, id
             for update skip locked loop
        perform release_request(r);
        update cash_request set state = 'expired', decided_ts_ns = p_ts_ns where id = r.id;
        insert into audit (user_id, action, subject, result, origin, detail) values (null, 'wallet.expire',
            'request:' || r.id, 'ok', 'system', jsonb_build_object('v', 1, 'portfolio_id', r.portfolio_id));
        many := many + 1;
    end loop;
    return many;
end $$;

-- A request's terms stay, it is decided once, and its history stays.
create or replace function check_request_change() returns trigger language plpgsql as $$
begin
    if old.state <> 'pending' or (to_jsonb(new) - array['state', 'first_by', 'decided_by', 'decided_ts_ns', 'reason',
                                                        'group_id']) <>
       (to_jsonb(old) - array['state', 'first_by', 'decided_by', 'decided_ts_ns', 'reason', 'group_id'])
       or (old.first_by is not null and new.first_by is distinct from old.first_by) then
        raise exception 'request %: what was asked and decided stays', old.id using errcode = 'TF005';
    end if;
    return new;
end $$;
create or replace trigger cash_request_change before update on cash_request
    for each row execute function check_request_change();
create or replace trigger cash_request_stays before delete or truncate on cash_request
    for each statement execute function refuse_edit();

-- A conversion: post_group, unless the kill switch is on for the floor, the user, the portfolio or the pair, or what is
-- sold is required in a margin portfolio (p_marks as in `margin_refusal`).
drop function if exists post_fx(int, bigint, bigint, text, text, bytea, int[], bigint[], text[], text[], text, text, bigint);
create or replace function post_fx(p_pair int, p_marks jsonb, p_actor bigint, p_portfolio bigint, p_operation text,
                                   p_key text, p_hash bytea, p_assets int[], p_amounts bigint[], p_against text[],
                                   p_kinds text[], p_memo text, p_origin text, p_ts_ns bigint)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    stop text;
    reply jsonb;
begin
    perform pg_advisory_xact_lock_shared(7001);
    select reason into stop from halt_state where mode <> 'running' and scope in ('floor', 'instrument:' || p_pair,
        'user:' || (select owner_id from portfolio where id = p_portfolio), 'portfolio:' || p_portfolio) limit 1;
    if found then
        return refuse_posting(p_actor, p_portfolio, p_operation, p_key,
            jsonb_build_object('v', 1, 'refused', 'halted', 'reason', stop), p_origin);
    end if;
    perform account_of(p_portfolio, asset_id) from unnest(p_assets) asset_id;
    perform 1 from account where portfolio_id = p_portfolio and asset_id = any (p_assets) and kind = 'portfolio'
        order by id for no key update;
    if not exists (select 1 from idempotency_key where user_id = p_actor and operation = p_operation and key = p_key) then
        for n in 1 .. cardinality(p_assets) loop
            reply := case when p_amounts[n] < 0 then
                margin_refusal(p_portfolio, p_assets[n], -p_amounts[n], p_marks) end;
            if reply is not null then
                return refuse_posting(p_actor, p_portfolio, p_operation, p_key, reply, p_origin);
            end if;
        end loop;
    end if;
    return post_group(p_actor, p_portfolio, p_operation, p_key, p_hash, p_assets, p_amounts, p_against, p_kinds, p_memo,
                      p_origin, p_ts_ns);
end $$;

-- Resets a portfolio: it becomes an archive, as it stands, and a new one of the same name, limits and grants goes on with
-- the cash that the old one was opened with. Asked again it names the same new one.
create or replace function reset_portfolio(p_actor bigint, p_portfolio bigint, p_name text, p_origin text, p_ts_ns bigint)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    old portfolio;
    refused text;
    fresh bigint;
    opening bigint;
begin
    perform lock_plans(p_portfolio);
    -- As orders are: one that was judged on what is remembered looks at nothing behind this lock but amounts.
    perform pg_advisory_xact_lock(7005, owner_id::int) from portfolio where id = p_portfolio;
    select * into old from portfolio where id = p_portfolio for no key update;
    if not found then
        raise exception 'no such portfolio' using errcode = 'TF006';
    end if;
    if old.archived_to is not null then
        return jsonb_build_object('answer', jsonb_build_object('v', 1, 'portfolio_id', old.archived_to));
    end if;
    perform 1 from account where portfolio_id = p_portfolio order by id for no key update;
    refused := case
        when old.archived_at is not null then 'archived'
        when old.name <> p_name then 'wrong_name'
        when exists (select 1 from parent_order where portfolio_id = p_portfolio
                     and state in ('working', 'paused', 'stopping')) then 'open_parents'
        when exists (select 1 from orders where portfolio_id = p_portfolio
                     and state not in ('filled', 'rejected', 'cancelled', 'expired')) then 'open_orders'
        when exists (select 1 from schedule where portfolio_id = p_portfolio and state in ('active', 'paused'))
            then 'open_schedules'
        when exists (select 1 from cash_request where portfolio_id = p_portfolio and state = 'pending') then 'requests_wait'
        when old.kind = 'margin' and exists (
            select 1 from account a join asset s on s.id = a.asset_id where a.portfolio_id = p_portfolio
            and (a.posted < 0 or (s.kind = 'instrument' and a.posted <> 0))) then 'open_positions' end;
    if refused is not null then
        insert into audit (user_id, action, subject, result, code, origin) values (nullif(p_actor, 0), 'wallet.reset',
            'portfolio:' || p_portfolio, 'refused', refused, p_origin);
        return jsonb_build_object('answer', jsonb_build_object('v', 1, 'refused', refused));
    end if;
    insert into portfolio (owner_id, name, kind, currency_id) values (old.owner_id, old.name, old.kind, old.currency_id)
        returning id into fresh;
    perform account_of(fresh, old.currency_id);
    insert into portfolio_grant (portfolio_id, observer_id, granted_by)
        select fresh, observer_id, granted_by from portfolio_grant where portfolio_id = p_portfolio;
    insert into risk_limit (portfolio_id, version, max_order_notional, max_open_orders, price_band_ppm, max_order_lots,
                            max_position_lots, max_position_notional, max_orders_per_minute, max_daily_loss,
                            max_drawdown_ppm, instruments, set_by, reason)
        select fresh, 1, max_order_notional, max_open_orders, price_band_ppm, max_order_lots, max_position_lots,
               max_position_notional, max_orders_per_minute, max_daily_loss, max_drawdown_ppm, instruments, set_by, reason
        from risk_limit where portfolio_id = p_portfolio order by version desc limit 1;
    update portfolio set archived_at = to_timestamp(p_ts_ns / 1e9), archived_to = fresh,
        name = left(name, 60) || ' until ' || to_char(to_timestamp(p_ts_ns / 1e9), 'YYYY-MM-DD') where id = p_portfolio;
    select amount into opening from transfer
        where portfolio_id = p_portfolio and kind = 'deposit' and asset_id = old.currency_id order by id limit 1;
    if opening is not null then
        perform post_group(0, fresh, 'ledger.deposit', 'reset:' || p_portfolio, ''::bytea, array[old.currency_id],
            array[opening], array['deposits'], array['deposit'], 'Fresh cash after a reset', p_origin, p_ts_ns);
    end if;
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0), 'wallet.reset',
        'portfolio:' || p_portfolio, 'ok', p_origin, jsonb_build_object('v', 1, 'portfolio_id', fresh, 'cash', opening));
    return jsonb_build_object('answer', jsonb_build_object('v', 1, 'portfolio_id', fresh));
end $$;

-- Books the interest of a day and keeps what it was reckoned from, once. False where the day was charged meanwhile, or
-- another day was, so that the rounding has to be reckoned again.
create or replace function charge_interest(p_portfolio bigint, p_asset int, p_day date, p_balance bigint, p_rate bigint,
                                           p_before numeric, p_exact numeric, p_booked bigint, p_memo text, p_ts_ns bigint)
returns boolean language plpgsql security definer set search_path = public as $$
declare group_no bigint;
begin
    perform 1 from account where portfolio_id = p_portfolio and asset_id = p_asset and kind = 'portfolio'
        for no key update;
    if exists (select 1 from interest_day where portfolio_id = p_portfolio and asset_id = p_asset and day = p_day)
       or p_before <> coalesce((select sum(exact) from interest_day where portfolio_id = p_portfolio
                                and asset_id = p_asset), 0) then
        return false;
    end if;
    if p_booked > 0 then
        group_no := post_group(0, p_portfolio, 'ledger.interest', p_portfolio || ':' || p_asset || ':' || p_day,
            ''::bytea, array[p_asset], array[-p_booked], array['interest'], array['interest'], p_memo, 'system', p_ts_ns)
            #>> '{answer,group_id}';
    end if;
    insert into interest_day (portfolio_id, asset_id, day, balance, rate_ppm, exact, booked, group_id)
        values (p_portfolio, p_asset, p_day, p_balance, p_rate, p_exact, p_booked, group_no);
    return true;
end $$;

-- What debt in a currency costs from now on.
create or replace function set_debt_rate(p_actor bigint, p_currency text, p_ppm bigint, p_source text, p_origin text)
returns void language plpgsql security definer set search_path = public as $$
declare currency int;
begin
    select id into currency from asset where code = p_currency for no key update;
    insert into debt_rate (currency_id, version, annual_ppm, source, set_by)
        select currency, coalesce(max(version), 0) + 1, p_ppm, p_source, nullif(p_actor, 0) from debt_rate
        where currency_id = currency;
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0), 'interest.set_rate',
        p_currency, 'ok', p_origin, jsonb_build_object('v', 1, 'annual_ppm', p_ppm, 'source', p_source));
end $$;

-- A new limit for a currency. A person may only lower it: with one who raises it a second admin would be no hindrance.
create or replace function set_cash_limit(p_actor bigint, p_currency text, p_above bigint, p_origin text, p_ts_ns bigint)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    of_currency asset;
    known bigint;
begin
    select * into of_currency from asset where code = p_currency and kind = 'currency' for no key update;
    if not found then
        raise exception 'no such currency' using errcode = 'TF006';
    end if;
    known := second_admin_above(of_currency.id);
    if p_actor <> 0 and p_above > known then
        insert into audit (user_id, action, subject, result, code, origin) values (p_actor, 'wallet.set_limit', p_currency,
            'refused', 'only_lower', p_origin);
        return jsonb_build_object('answer', jsonb_build_object('v', 1, 'refused', 'only_lower', 'available', known,
            'needed', p_above, 'asset', p_currency, 'scale', of_currency.scale));
    end if;
    insert into cash_limit (asset_id, version, second_admin_above, set_by, set_ts_ns)
        select of_currency.id, coalesce(max(version), 0) + 1, p_above, nullif(p_actor, 0), p_ts_ns
        from cash_limit where asset_id = of_currency.id;
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0), 'wallet.set_limit',
        p_currency, 'ok', p_origin, jsonb_build_object('v', 1, 'was', known, 'above', p_above));
    return jsonb_build_object('answer', jsonb_build_object('v', 1));
end $$;
