-- What people post, the chain of hashes over it, and marks of worth.

-- A deposit or a withdrawal: one transfer between the outside world and a portfolio, in its base currency.
create or replace function post_cash(p_admin bigint, p_kind text, p_portfolio bigint, p_amount bigint, p_key text, p_hash bytea,
                          p_memo text, p_origin text, p_ts_ns bigint)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    known jsonb;
    reply jsonb;
    own bigint;
    outside bigint;
    currency int;
    group_no bigint;
    free bigint;
begin
    known := claim_key(p_admin, 'ledger.' || p_kind, p_key, p_hash);
    if known is not null then
        return known;
    end if;
    select currency_id into currency from portfolio where id = p_portfolio and archived_at is null;
    if not found then
        raise exception 'no such portfolio' using errcode = 'TF006';
    end if;
    own := account_of(p_portfolio, currency);
    select id into outside from account where kind = 'deposits' and asset_id = currency;
    select posted - held into free from account where id = own for no key update;
    if p_kind = 'withdrawal' and free < p_amount then
        reply := jsonb_build_object('v', 1, 'refused', 'insufficient_cash', 'available', free);
        update idempotency_key set answer = reply
            where user_id = p_admin and operation = 'ledger.' || p_kind and key = p_key;
        insert into audit (user_id, action, subject, result, code, origin, detail) values (p_admin, 'ledger.' || p_kind,
            'portfolio:' || p_portfolio, 'refused', 'insufficient_cash', p_origin, reply);
        return jsonb_build_object('answer', reply);
    end if;
    group_no := nextval('transfer_group');
    insert into transfer (group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, ts_ns, actor_id, memo)
        values (group_no, currency, case p_kind when 'deposit' then outside else own end,
                case p_kind when 'deposit' then own else outside end, p_amount, p_kind, p_portfolio, p_ts_ns,
                nullif(p_admin, 0), p_memo);
    update account set posted = posted + case p_kind when 'deposit' then p_amount else -p_amount end where id = own;
    reply := jsonb_build_object('v', 1, 'group_id', group_no);
    update idempotency_key set answer = reply where user_id = p_admin and operation = 'ledger.' || p_kind and key = p_key;
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_admin, 0), 'ledger.' || p_kind,
        'portfolio:' || p_portfolio, 'ok', p_origin, reply || jsonb_build_object('amount', p_amount, 'memo', p_memo));
    insert into outbox (event) values (jsonb_build_object('v', 1, 'topic', 'cash', 'portfolio_id', p_portfolio));
    return jsonb_build_object('answer', reply);
end $$;

-- Seals transfers whose transactions are all over into one block of the hash chain.
create or replace function seal_block(p_now timestamptz) returns bigint language plpgsql security definer set search_path = public as $$
declare
    last ledger_block;
    horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
    leaves bytea;
    many bigint;
begin
    perform pg_advisory_xact_lock(7002);
    select * into last from ledger_block order by id desc limit 1;
    select sha256(coalesce(string_agg(leaf, ''::bytea order by id), ''::bytea)), count(*) into leaves, many
        from transfer where xid >= coalesce(last.xid_to, '0'::xid8) and xid < horizon;
    if many = 0 then
        return null;
    end if;
    insert into ledger_block (id, xid_from, xid_to, transfers, root, prev_hash, hash, sealed_at)
        values (coalesce(last.id, 0) + 1, coalesce(last.xid_to, '0'::xid8), horizon, many, leaves,
                coalesce(last.hash, ''::bytea), sha256(coalesce(last.hash, ''::bytea) || leaves), p_now);
    return coalesce(last.id, 0) + 1;
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
