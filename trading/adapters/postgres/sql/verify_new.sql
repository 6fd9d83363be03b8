-- What the queries of verify.sql marked (new) see instead of whole tables: what came since the row of `verified`.
-- %(xid)s is the first transaction not checked, %(block_id)s the last block checked, %(first_seq)s the last chunk of
-- inputs; %(orders)s are the orders that were filled or had an event since, %(portfolios)s theirs.
with transfer as (select * from public.transfer where xid >= %(xid)s),
order_transfer as not materialized (select * from public.transfer where order_id = any (%(orders)s)),
orders as not materialized (select * from public.orders where id = any (%(orders)s)),
order_event as not materialized (select * from public.order_event where order_id = any (%(orders)s)),
fill as not materialized (select * from public.fill where order_id = any (%(orders)s)),
lot as not materialized (
    select * from public.lot where portfolio_id = any (%(portfolios)s) and remaining_lots > 0),
lot_close as not materialized (select * from public.lot_close where lot_id in (select id from lot)),
account as not materialized (
    select * from public.account where kind = 'portfolio' and portfolio_id = any (%(portfolios)s)),
input_log as not materialized (select * from public.input_log where first_seq >= %(first_seq)s),
ledger_block as not materialized (select * from public.ledger_block where id > %(block_id)s)
