-- Portfolios with one deposit each; how many is the setting bench.portfolios.
create temp table place as
    select v.asset_id, v.currency_id, v.instrument_id, v.version, v.fee_version, u.id as user_id,
           (select id from account where kind = 'market' and asset_id = v.asset_id) as market_asset,
           (select id from account where kind = 'market' and asset_id = v.currency_id) as market_cash,
           (select id from account where kind = 'fees' and asset_id = v.currency_id) as fees,
           (select id from account where kind = 'deposits' and asset_id = v.currency_id) as deposits
    from instrument_current v, app_user u where v.symbol = 'AAPL' and v.venue = 'SIM' and u.username = 'tina';
create temp table own as
    with made as (
        insert into portfolio (owner_id, name, kind, currency_id)
            select user_id, 'Bench ' || n, 'cash', currency_id
            from place, generate_series(1, current_setting('bench.portfolios')::int) n returning id),
    accounts as (
        insert into account (asset_id, kind, portfolio_id, floor_zero)
            select a.id, 'portfolio', made.id, true from made, place, unnest(array[asset_id, currency_id]) a (id)
            returning id, portfolio_id, asset_id)
    select a.portfolio_id, max(a.id) filter (where a.asset_id = place.currency_id) as cash,
           max(a.id) filter (where a.asset_id = place.asset_id) as shares
    from accounts a, place group by a.portfolio_id;
insert into transfer (group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, ts_ns)
    select nextval('transfer_group'), currency_id, deposits, cash, 100000000, 'deposit', portfolio_id, 1790000000000000000
    from own, place;
update account set posted = 100000000 from own where id = cash;
