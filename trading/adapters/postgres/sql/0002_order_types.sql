-- Stops, trailing stops, brackets, one-cancels-other, times in force, and new terms for open orders.

alter table orders
    drop constraint orders_type_check,
    add constraint orders_type_check check (type in ('market', 'limit', 'stop', 'stop_limit', 'trailing_stop')),
    drop constraint orders_tif_check,
    add constraint orders_tif_check check (tif in ('day', 'gtc', 'gtd', 'ioc', 'fok')),
    drop constraint orders_check1,
    add constraint orders_limit check ((type in ('limit', 'stop_limit')) = (limit_ticks is not null)),
    add column stop_ticks bigint check (stop_ticks > 0),   -- of a trailing stop: where it would have been when accepted
    add column trail bigint check (trail > 0),             -- distance in ticks
    add column trail_ppm bigint check (trail_ppm between 1 and 999999),
    add column post_only boolean not null default false,
    add column expires_ns bigint,                          -- of gtd
    add column group_id bigint references orders,          -- the first order of its bracket or pair
    add column group_role text check (group_role in ('entry', 'take_profit', 'stop_loss', 'oco')),
    add constraint orders_stop check ((type in ('stop', 'stop_limit', 'trailing_stop')) = (stop_ticks is not null)),
    add constraint orders_trail check ((type = 'trailing_stop')::int = num_nonnulls(trail, trail_ppm)),
    add constraint orders_post_only check (not post_only or (type = 'limit' and tif in ('day', 'gtc', 'gtd'))),
    add constraint orders_expires check ((tif = 'gtd') = (expires_ns is not null)),
    add constraint orders_group check ((group_id is null) = (group_role is null));
create index orders_group_open on orders (group_id)
    where group_id is not null and state not in ('filled', 'rejected', 'cancelled', 'expired');

alter table command
    drop constraint command_kind_check,
    add constraint command_kind_check check (kind in ('submit', 'group', 'cancel', 'modify', 'halt', 'resume'));
