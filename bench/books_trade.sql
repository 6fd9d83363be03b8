-- A purchase and a sale of one share by each of the first portfolios (bench.pairs), a second after bench.round - 1, with
-- all that belongs to them: orders, holds, events, fills, transfers, lots, balances.
create temp table pair on commit drop as
    select own.*, place.*, nextval('orders_id_seq') as buy_id, nextval('orders_id_seq') as sell_id, 10000 as price,
           100 as fee, 1790000000000000000 + current_setting('bench.round')::bigint * 1000000000 as at_ns
    from (select * from own order by portfolio_id limit current_setting('bench.pairs')::int) own, place;
create temp table done on commit drop as
    select buy_id as id, 'buy' as side, 'open' as effect, nextval('transfer_group') as group_id, pair.* from pair
    union all select sell_id, 'sell', 'close', nextval('transfer_group'), pair.* from pair;
insert into orders (id, portfolio_id, instrument_id, instrument_version, limit_version, side, type, effect, tif,
                    quantity_lots, protection_ticks, state, filled_lots, price_lots_sum, notional, fee, actor_id,
                    accepted_ts_ns, updated_ts_ns)
    overriding system value
    select id, portfolio_id, instrument_id, version, 1, side, 'market', effect, 'gtc', 1, price, 'filled', 1, price,
           price, fee, user_id, at_ns, at_ns from done;
insert into hold (order_id, leg, account_id, asset_id, amount, used, resolved)
    select id, case side when 'buy' then 'cash' else 'asset' end, case side when 'buy' then cash else shares end,
           case side when 'buy' then currency_id else asset_id end, a.amount, a.amount, true
    from done cross join lateral (select case side when 'buy' then price + fee else 1 end) a (amount);
insert into order_event (order_id, ts_ns, source, target, cause, actor)
    select id, at_ns, s.source, s.target, s.cause, s.actor from done cross join (values
        ('new', 'accepted', 'desk', 'user:1'), ('accepted', 'filled', 'fill', 'broker')
    ) s (source, target, cause, actor);
insert into fill (order_id, input_seq, n, portfolio_id, instrument_id, instrument_version, fee_version, side,
                  price_ticks, quantity_lots, notional, fee, liquidity, why, group_id, ts_ns)
    select id, id, 0, portfolio_id, instrument_id, version, fee_version, side, price, 1, price, fee, 'taker',
           '{"v": 1}', group_id, at_ns from done;
insert into transfer (group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, order_id, input_seq, n, ts_ns)
    select group_id, l.asset, l.debit, l.credit, l.amount, l.kind, portfolio_id, id, id, 0, at_ns
    from done cross join lateral (values
        (currency_id, case side when 'buy' then cash else market_cash end,
         case side when 'buy' then market_cash else cash end, price, 'trade'),
        (asset_id, case side when 'buy' then market_asset else shares end,
         case side when 'buy' then shares else market_asset end, 1, 'trade'),
        (currency_id, cash, fees, fee, 'fee')) l (asset, debit, credit, amount, kind);
insert into lot (portfolio_id, instrument_id, order_id, input_seq, n, acquired_ts_ns, quantity_lots, remaining_lots,
                 cost, remaining_cost)
    select portfolio_id, instrument_id, buy_id, buy_id, 0, at_ns, 1, 0, price + fee, 0 from pair;
insert into lot_close (lot_id, order_id, input_seq, n, portfolio_id, disposed_ts_ns, quantity_lots, cost, proceeds)
    select l.id, p.sell_id, p.sell_id, 0, p.portfolio_id, at_ns, 1, l.cost, price - fee
    from pair p join lot l on l.order_id = p.buy_id;
update account a set posted = a.posted - 2 * fee from pair where a.id = cash;
