-- What people post, the chain of hashes over it, and marks of worth.

-- Lines of one transfer group between a portfolio and the floor's own accounts: all of them or none, once for each key.
-- p_amounts are signed as the portfolio sees them; p_against names the kind of the floor's account on the other side.
-- An account with a floor does not go below zero, holds included; one of a margin portfolio may, but by no withdrawal and
-- no conversion. Such a group is refused with what is available, and the refusal is the key's answer.
create or replace function post_group(p_actor bigint, p_portfolio bigint, p_operation text, p_key text, p_hash bytea,
                                      p_assets int[], p_amounts bigint[], p_against text[], p_kinds text[], p_memo text,
                                      p_origin text, p_ts_ns bigint)
returns jsonb language plpgsql security definer set search_path = public
set plan_cache_mode = force_generic_plan as $$
declare
    group_no bigint := nextval('transfer_group');
    reply jsonb := jsonb_build_object('v', 1, 'group_id', group_no);
    known idempotency_key;
    many int := cardinality(p_assets);
    changed int;
begin
    insert into idempotency_key (user_id, operation, key, request_hash, answer)
        values (p_actor, p_operation, p_key, p_hash, reply) on conflict do nothing;
    if not found then
        select * into known from idempotency_key where user_id = p_actor and operation = p_operation and key = p_key;
        return case when known.request_hash = p_hash then jsonb_build_object('answer', known.answer)
                    else jsonb_build_object('conflict', 'key_reused') end;
    end if;
    if many > 1 then
        perform account_of(p_portfolio, asset_id) from unnest(p_assets) asset_id;
        perform 1 from account where portfolio_id = p_portfolio and asset_id = any (p_assets) and kind = 'portfolio'
            order by id for no key update;
        reply := short_of(p_portfolio, p_assets, p_amounts, p_kinds);
        if reply is not null then
            return refuse_posting(p_actor, p_portfolio, p_operation, p_key, reply, p_origin);
        end if;
        update account a set posted = a.posted + s.amount
            from (select asset_id, sum(amount)::bigint as amount from unnest(p_assets, p_amounts) u (asset_id, amount)
                  group by asset_id) s
            where a.portfolio_id = p_portfolio and a.asset_id = s.asset_id and a.kind = 'portfolio';
        reply := jsonb_build_object('v', 1, 'group_id', group_no);
    else
        update account set posted = posted + p_amounts[1]
            where portfolio_id = p_portfolio and asset_id = p_assets[1] and kind = 'portfolio'
              and (p_amounts[1] >= 0 or posted - held + p_amounts[1] >= 0 or not floor_zero
                   and (posted + p_amounts[1] >= 0 or p_kinds[1] not in ('withdrawal', 'fx')));
        if not found then
            perform account_of(p_portfolio, p_assets[1]);
            reply := short_of(p_portfolio, p_assets, p_amounts, p_kinds);
            if reply is not null then
                return refuse_posting(p_actor, p_portfolio, p_operation, p_key, reply, p_origin);
            end if;
            update account set posted = posted + p_amounts[1]
                where portfolio_id = p_portfolio and asset_id = p_assets[1] and kind = 'portfolio';
            reply := jsonb_build_object('v', 1, 'group_id', group_no);
        end if;
    end if;
    -- After the accounts are locked, as an archive locks them too.
    if not exists (select 1 from portfolio where id = p_portfolio and archived_at is null) then
        raise exception 'no such portfolio' using errcode = 'TF006';
    end if;
    insert into transfer (group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, ts_ns, actor_id, memo)
        select group_no, l.asset_id, case when l.amount > 0 then f.id else own.id end,
               case when l.amount > 0 then own.id else f.id end, abs(l.amount), l.kind, p_portfolio, p_ts_ns,
               nullif(p_actor, 0), p_memo
        from unnest(p_assets, p_amounts, p_against, p_kinds) with ordinality l (asset_id, amount, against, kind, n)
        join account own on own.portfolio_id = p_portfolio and own.asset_id = l.asset_id and own.kind = 'portfolio'
        join account f on f.kind = l.against and f.asset_id = l.asset_id and f.kind <> 'portfolio'
        order by l.n;
    get diagnostics changed = row_count;
    if changed <> many then
        raise exception 'a line of the group names an account that is not there' using errcode = 'TF006';
    end if;
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0), p_operation,
        'portfolio:' || p_portfolio, 'ok', p_origin, reply || case many
            when 1 then jsonb_build_object('amount', abs(p_amounts[1]), 'memo', p_memo)
            else jsonb_build_object('amounts', p_amounts, 'assets', p_assets, 'memo', p_memo) end);
    insert into outbox (event) values (jsonb_build_object('v', 1, 'topic', 'cash', 'portfolio_id', p_portfolio));
    return jsonb_build_object('answer', reply);
end $$;

-- What a group asks for beyond what is there: the first account that would go too low, else null.
create or replace function short_of(p_portfolio bigint, p_assets int[], p_amounts bigint[], p_kinds text[]) returns jsonb
language sql security definer set search_path = public as $$
    select jsonb_build_object('v', 1, 'refused', case s.kind when 'currency' then 'insufficient_cash'
                              else 'insufficient_position' end,
                              'available', a.posted - a.held, 'needed', -sum(u.amount), 'asset', s.code, 'scale', s.scale)
    from unnest(p_assets, p_amounts) u (asset_id, amount)
    join account a on a.portfolio_id = p_portfolio and a.asset_id = u.asset_id and a.kind = 'portfolio'
    join asset s on s.id = a.asset_id
    group by a.id, s.id
    having sum(u.amount) < 0 and case when a.floor_zero then a.posted - a.held + sum(u.amount) < 0
        else a.posted + sum(u.amount) < 0 and p_kinds && array['withdrawal', 'fx'] end
    order by a.id limit 1;
$$;

-- Keeps a refusal as the key's answer, with its audit row.
create or replace function refuse_posting(p_actor bigint, p_portfolio bigint, p_operation text, p_key text, p_reply jsonb,
                                          p_origin text)
returns jsonb language plpgsql security definer set search_path = public as $$
begin
    update idempotency_key set answer = p_reply where user_id = p_actor and operation = p_operation and key = p_key;
    insert into audit (user_id, action, subject, result, code, origin, detail) values (nullif(p_actor, 0), p_operation,
        'portfolio:' || p_portfolio, 'refused', p_reply ->> 'refused', p_origin, p_reply);
    return jsonb_build_object('answer', p_reply);
end $$;

-- Above this much, in minor units, a person's posting takes a second admin.
create or replace function second_admin_above(p_asset int) returns bigint language sql stable security definer
set search_path = public as $$
    select coalesce((select second_admin_above from cash_limit where asset_id = p_asset order by version desc limit 1),
                    (select 10000 * 10 ^ scale from asset where id = p_asset)::bigint);
$$;

-- A deposit or a withdrawal: one transfer between the outside world and a portfolio, in its base currency. With
-- p_cutoffs, as in `unsettled`, what has not settled stays in a cash portfolio, and what is required, by p_marks as in
-- `margin_refusal`, in a margin portfolio.
drop function if exists post_cash(bigint, text, bigint, bigint, text, bytea, text, text, bigint);
drop function if exists post_cash(bigint, text, bigint, bigint, text, bytea, text, text, bigint, jsonb);
create or replace function post_cash(p_admin bigint, p_kind text, p_portfolio bigint, p_amount bigint, p_key text,
                          p_hash bytea, p_memo text, p_origin text, p_ts_ns bigint, p_cutoffs jsonb default null,
                          p_marks jsonb default null)
returns jsonb language plpgsql security definer set search_path = public
set plan_cache_mode = force_generic_plan as $$
declare
    currency int;
    above bigint;
    reply jsonb;
begin
    select currency_id into currency from portfolio where id = p_portfolio;
    if p_admin <> 0 then
        above := second_admin_above(currency);
        if p_amount > above then
            select jsonb_build_object('v', 1, 'refused', 'second_admin_needed', 'available', above, 'needed', p_amount,
                                      'asset', code, 'scale', scale) into reply from asset where id = currency;
            return refuse_posting(p_admin, p_portfolio, 'ledger.' || p_kind, p_key, reply, p_origin);
        end if;
    end if;
    if p_kind = 'withdrawal' then
        -- Locked first and looked at by the next statement, so that no sale is booked and no order accepted between this
        -- look and the posting.
        perform 1 from account where portfolio_id = p_portfolio and asset_id = currency and kind = 'portfolio'
            for no key update;
        select coalesce(margin_refusal(p_portfolio, currency, p_amount, p_marks), case
                when a.posted - a.held >= p_amount then
                    not_settled(p_portfolio, currency, p_amount, a.posted - a.held, p_cutoffs) end) into reply
            from account a
            where a.portfolio_id = p_portfolio and a.asset_id = currency and a.kind = 'portfolio'
              and not exists (select 1 from idempotency_key
                where user_id = p_admin and operation = 'ledger.withdrawal' and key = p_key);
        if reply is not null then
            return refuse_posting(p_admin, p_portfolio, 'ledger.withdrawal', p_key, reply, p_origin);
        end if;
    end if;
    return post_group(p_admin, p_portfolio, 'ledger.' || p_kind, p_key, p_hash, array[currency],
        array[case p_kind when 'deposit' then p_amount else -p_amount end], array['deposits'], array[p_kind], p_memo,
        p_origin, p_ts_ns);
end $$;

-- Transfers of orders, under a name of their own for the checks of fills: see verify_new.sql.
create or replace view order_transfer with (security_invoker = true) as
    select order_id, input_seq, n, portfolio_id, asset_id, debit_id, amount, kind from transfer where order_id is not null;

-- The hash that a transfer must have; as the column's own expression says it.
create or replace function transfer_leaf(t transfer) returns bytea language sql immutable as $$
    select sha256(int8send(t.id) || int8send(t.group_id) || int4send(t.asset_id) || int8send(t.debit_id)
        || int8send(t.credit_id) || int8send(t.amount) || t.kind::bytea || int8send(t.portfolio_id)
        || int8send(coalesce(t.order_id, -1)) || int8send(coalesce(t.input_seq, -1)) || int4send(coalesce(t.n, -1))
        || int8send(t.ts_ns) || case when t.rev = 1 then ''::bytea
            else int8send(coalesce(t.actor_id, -1)) || replace(t.memo, '\', '\\')::bytea end);
$$;

-- What of a fill is sealed with the transfers of its transaction.
create or replace function fill_leaf(f fill) returns bytea language sql stable as $$
    select sha256(convert_to(concat_ws('|', f.order_id, f.input_seq, f.n, f.portfolio_id, f.instrument_id,
        f.instrument_version, f.fee_version, f.side, f.price_ticks, f.quantity_lots, f.notional, f.fee, f.tax, f.charges,
        f.liquidity, f.why, f.group_id, f.ts_ns), 'UTF8'));
$$;

-- Seals transfers and fills whose transactions are all over into one block of the hash chain, of about 50,000 transfers
-- at most: checking a block again takes no more memory than that. Null where there is nothing to seal.
create or replace function seal_block(p_now timestamptz) returns bigint language plpgsql security definer set search_path = public as $$
declare
    last ledger_block;
    horizon xid8;
    start xid8;
    leaves bytea;
    many bigint;
    fill_leaves bytea;
    many_fills bigint;
begin
    perform pg_advisory_xact_lock(7002);
    select * into last from ledger_block order by id desc limit 1;
    start := coalesce(last.xid_to, '0'::xid8);
    horizon := pg_snapshot_xmin(pg_current_snapshot());
    select coalesce((select least(max(xid), horizon) from (
        select xid from transfer where xid > (select min(xid) from transfer where xid >= start) and xid < horizon
        order by xid limit 50000) t having count(*) = 50000), horizon) into horizon;
    select sha256(coalesce(string_agg(leaf, ''::bytea order by id), ''::bytea)), count(*) into leaves, many
        from transfer where xid >= start and xid < horizon;
    select sha256(coalesce(string_agg(fill_leaf(f), ''::bytea order by order_id, input_seq, n), ''::bytea)), count(*)
        into fill_leaves, many_fills from fill f where xid >= start and xid < horizon;
    if many = 0 and many_fills = 0 then
        return null;
    end if;
    insert into ledger_block (id, xid_from, xid_to, transfers, root, fills, fills_root, prev_hash, hash, sealed_at)
        values (coalesce(last.id, 0) + 1, start, horizon, many, leaves, many_fills, fill_leaves,
                coalesce(last.hash, ''::bytea), sha256(coalesce(last.hash, ''::bytea) || leaves || fill_leaves), p_now);
    return coalesce(last.id, 0) + 1;
end $$;

-- The books were found sound in a snapshot that began with transaction p_xid: what comes is checked from there.
create or replace function advance_verified(p_xid xid8, p_block bigint, p_first_seq bigint, p_event bigint, p_ts_ns bigint)
returns void language plpgsql security definer set search_path = public as $$
declare old xid8;
begin
    insert into verified (id, xid, block_id, first_seq, event_id, ts_ns) values (1, '0', 0, 0, 0, 0) on conflict do nothing;
    select xid into old from verified where id = 1 for update;
    if p_xid <= old then
        return;
    end if;
    insert into verified_balance as b (account_id, balance)
        select a.id, sum(e.amount) from (
            select credit_id as account_id, amount from transfer where xid >= old and xid < p_xid
            union all select debit_id, -amount from transfer where xid >= old and xid < p_xid) e
        join account a on a.id = e.account_id and a.kind = 'portfolio' group by a.id
        on conflict (account_id) do update set balance = b.balance + excluded.balance;
    update verified set xid = p_xid, block_id = p_block, first_seq = p_first_seq, event_id = p_event, ts_ns = p_ts_ns
        where id = 1;
end $$;

-- Keeps the balance before p_ts_ns of every portfolio account that has lines since its last one; returns how many.
create or replace function keep_balances(p_ts_ns bigint) returns bigint
language plpgsql security definer set search_path = public as $$
declare kept bigint;
begin
    insert into balance_mark (account_id, portfolio_id, ts_ns, balance)
        select a.id, a.portfolio_id, p_ts_ns, coalesce(m.balance, 0) + l.net
        from account a
        left join lateral (select ts_ns, balance from balance_mark where account_id = a.id order by ts_ns desc limit 1) m
            on true
        cross join lateral (
            select sum(case when t.credit_id = a.id then t.amount else -t.amount end)::bigint as net from transfer t
            where t.portfolio_id = a.portfolio_id and t.asset_id = a.asset_id
              and t.ts_ns >= coalesce(m.ts_ns, -9223372036854775808) and t.ts_ns < p_ts_ns) l
        where a.kind = 'portfolio' and l.net is not null and (m.ts_ns is null or m.ts_ns < p_ts_ns)
        on conflict do nothing;
    get diagnostics kept = row_count;
    return kept;
end $$;

-- One mark of a portfolio's worth; the flow is what came in or went out since the mark before.
create or replace function mark_equity(p_portfolio bigint, p_ts_ns bigint, p_cash bigint, p_positions bigint) returns void
language plpgsql security definer set search_path = public as $$
declare before bigint;
begin
    select coalesce(max(ts_ns), 0) into before from equity_mark where portfolio_id = p_portfolio;
    insert into equity_mark (portfolio_id, ts_ns, equity, cash, positions, flow)
        select p_portfolio, p_ts_ns, p_cash + p_positions, p_cash, p_positions, coalesce((
            select sum(case kind when 'deposit' then amount else -amount end) from transfer
            where portfolio_id = p_portfolio and kind in ('deposit', 'withdrawal') and ts_ns > before and ts_ns <= p_ts_ns), 0)
        on conflict do nothing;
end $$;
