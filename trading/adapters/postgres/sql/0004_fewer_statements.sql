-- The desk in less time: what it decides on is found by key, and no statement is planned anew.

-- What the desk decides on. With p_lock the halt lock and the portfolio's accounts are held until the transaction ends.
create or replace function desk_context(p_user bigint, p_portfolio bigint, p_symbol text, p_venue text, p_lock boolean)
returns jsonb language plpgsql security definer set search_path = public as $$
declare
    v record;
    cash account;
    shares account;
begin
    if p_lock then
        perform pg_advisory_xact_lock_shared(7001);
    end if;
    -- Not from instrument_current: it would first find the newest version of every instrument.
    select i.symbol, i.venue, n.*, a.code as asset_code, a.scale as asset_scale, c.code as currency_code,
           c.scale as currency_scale into v
        from instrument i
        cross join lateral (select * from instrument_version where instrument_id = i.id order by version desc limit 1) n
        join asset a on a.id = n.asset_id join asset c on c.id = n.currency_id
        where i.venue = p_venue and i.symbol = p_symbol;
    if not found then
        return jsonb_build_object('unknown_instrument', true);
    end if;
    if p_lock then
        if (select count(*) from account where portfolio_id = p_portfolio and asset_id in (v.currency_id, v.asset_id)
            and kind = 'portfolio') < 2 then
            perform account_of(p_portfolio, v.currency_id);
            perform account_of(p_portfolio, v.asset_id);
        end if;
        perform 1 from account where portfolio_id = p_portfolio and asset_id in (v.currency_id, v.asset_id)
            and kind = 'portfolio' order by id for no key update;
    end if;
    select * into cash from account
        where portfolio_id = p_portfolio and asset_id = v.currency_id and kind = 'portfolio';
    select * into shares from account
        where portfolio_id = p_portfolio and asset_id = v.asset_id and kind = 'portfolio';
    return jsonb_build_object(
        'instrument', to_jsonb(v),
        'portfolio', (select jsonb_build_object('kind', kind, 'archived', archived_at is not null)
                      from portfolio where id = p_portfolio),
        'cash_account', cash.id, 'cash_available', coalesce(cash.posted - cash.held, 0),
        'asset_account', shares.id, 'position', coalesce(shares.posted, 0), 'position_held', coalesce(shares.held, 0),
        'open_orders', (select count(*) from orders where portfolio_id = p_portfolio
                        and state not in ('filled', 'rejected', 'cancelled', 'expired')),
        'limits', (select to_jsonb(r) from risk_limit r where portfolio_id = p_portfolio order by version desc limit 1),
        'halt', (select jsonb_object_agg(scope, mode) from halt_state where scope in
                 ('floor', 'user:' || p_user, 'instrument:' || v.instrument_id)));
end $$;

-- Every statement of these finds its rows by key, whatever the numbers: planning anew takes longer than running them.
alter function desk_context set plan_cache_mode = force_generic_plan;
alter function desk_accept set plan_cache_mode = force_generic_plan;
