-- Risk before the trade: what the desk judges an order on beside money and shares.

-- Limits that apply to an order, and what they are compared with; positions and times only where a limit asks for them.
-- The desk holds the user's lock: nothing that is counted grows between this and the order.
-- `sets` are arrays in the order of risk.LimitSet; `recent` has the times of the newest orders as far back as the limit
-- reaches, for a ticket makes up to three. A statement for each kind of limit takes half the time of one for all.
create or replace function desk_limits(p_user bigint, p_portfolio bigint, p_instrument int) returns jsonb
language plpgsql as $$
declare
    many_orders constant int := 3;
    sets jsonb := '[]';
    newest int;
    wants_position boolean := false;
    own_tier text;
    label text;
    r risk_limit;
    rate int;
    user_rate int;
    own bigint;
    others bigint;
    buys bigint := 0;
    sells bigint := 0;
    times jsonb := '[]';
    user_times jsonb := '[]';
    marks jsonb;
    ban jsonb;
begin
    select tier into own_tier from app_user where id = p_user;
    for kind in 1..4 loop
        case kind
            when 1 then
                select * into r from risk_limit where tier = own_tier order by version desc limit 1;
                label := 'tier:' || own_tier;
            when 2 then
                select * into r from risk_limit where user_id = p_user order by version desc limit 1;
                label := 'user:' || p_user;
            when 3 then
                select * into r from risk_limit where portfolio_id = p_portfolio order by version desc limit 1;
                label := 'portfolio:' || p_portfolio;
            else
                select * into r from risk_limit where instrument_id = p_instrument order by version desc limit 1;
                label := 'instrument:' || p_instrument;
        end case;
        continue when r.id is null;
        sets := sets || jsonb_build_array(jsonb_build_array(label, r.max_order_lots, r.max_order_notional,
            r.max_position_lots, r.max_position_notional, r.max_open_orders, r.max_orders_per_minute, r.price_band_ppm,
            r.max_daily_loss, r.max_drawdown_ppm, p_instrument = any (r.instruments)));
        newest := greatest(newest, r.id);
        wants_position := wants_position or r.max_position_lots is not null or r.max_position_notional is not null;
        if kind = 3 then
            rate := r.max_orders_per_minute;
        else
            user_rate := least(user_rate, r.max_orders_per_minute);
        end if;
    end loop;
    select coalesce(sum(open_orders) filter (where portfolio_id = p_portfolio), 0),
           coalesce(sum(open_orders) filter (where portfolio_id <> p_portfolio), 0)
        into own, others from order_count where owner_id = p_user;
    if rate is not null then
        select coalesce(jsonb_agg(accepted_ts_ns), '[]') into times from (
            select accepted_ts_ns from orders where portfolio_id = p_portfolio
            order by id desc offset greatest(rate - many_orders, 0) limit least(rate, many_orders)) newest_orders;
    end if;
    if user_rate is not null then
        select coalesce(jsonb_agg(accepted_ts_ns), '[]') into user_times from (
            select o.accepted_ts_ns from portfolio p cross join lateral (
                select id, accepted_ts_ns from orders where portfolio_id = p.id order by id desc limit user_rate) o
            where p.owner_id = p_user
            order by o.id desc offset greatest(user_rate - many_orders, 0) limit least(user_rate, many_orders)) newest_orders;
    end if;
    if wants_position then
        -- Of two that exclude each other one trades.
        select coalesce(sum(lots) filter (where side = 'buy'), 0), coalesce(sum(lots) filter (where side = 'sell'), 0)
            into buys, sells from (
                select side, max(quantity_lots - filled_lots) as lots from orders
                where portfolio_id = p_portfolio and instrument_id = p_instrument and effect = 'open'
                and state not in ('filled', 'rejected', 'cancelled', 'expired')
                group by side, coalesce(group_id, id)) open;
    end if;
    select jsonb_build_array(day_ns, day_equity, equity, tripped_ppm) into marks from risk_state
        where portfolio_id = p_portfolio;
    select jsonb_build_array(mode, reason) into ban from restricted_instrument
        where instrument_id = p_instrument order by version desc limit 1;
    return jsonb_build_object('version', coalesce(newest, 0), 'sets', sets, 'own', own, 'others', others,
        'recent', times, 'user_recent', user_times, 'buys', buys, 'sells', sells, 'state', marks, 'ban', ban);
end $$;

-- Each mark of worth moves the day's start and the peak, and may trip the drawdown breaker. A deposit is no gain and a
-- withdrawal no loss: the day's start moves by them, the peak in the proportion in which they change the worth.
create or replace function watch_equity() returns trigger language plpgsql security definer set search_path = public as $$
declare
    day constant bigint := 86400000000000;
    s risk_state;
    drawdown bigint;
    most int;
begin
    select * into s from risk_state where portfolio_id = new.portfolio_id for update;
    if not found then
        s.portfolio_id := new.portfolio_id;
        s.day_ns := new.ts_ns - new.ts_ns % day;
        s.equity := 0; s.day_equity := 0; s.peak_equity := 0;
    elsif new.ts_ns <= s.ts_ns then
        return null;
    end if;
    if new.ts_ns >= s.day_ns + day then
        s.day_ns := new.ts_ns - new.ts_ns % day;
        s.day_equity := s.equity;
    end if;
    s.day_equity := s.day_equity + new.flow;
    s.peak_equity := greatest(new.equity, case when s.equity > 0 and s.equity + new.flow > 0
        then (s.peak_equity::numeric * (s.equity + new.flow) / s.equity)::bigint else s.equity + new.flow end);
    s.ts_ns := new.ts_ns;
    s.equity := new.equity;
    drawdown := case when s.peak_equity > 0
        then least((s.peak_equity - s.equity)::numeric * 1000000 / s.peak_equity, 10000000)::bigint else 0 end;
    select min(l.max_drawdown_ppm) into most from portfolio p join app_user u on u.id = p.owner_id cross join lateral (
        (select max_drawdown_ppm from risk_limit where tier = u.tier order by version desc limit 1)
        union all (select max_drawdown_ppm from risk_limit where user_id = u.id order by version desc limit 1)
        union all (select max_drawdown_ppm from risk_limit where portfolio_id = p.id order by version desc limit 1)) l
        where p.id = new.portfolio_id;
    if drawdown > most and s.tripped_ts_ns is null then
        s.tripped_ts_ns := new.ts_ns;
        s.tripped_ppm := drawdown;
        insert into audit (action, subject, result, code, origin, detail) values ('risk.drawdown',
            'portfolio:' || new.portfolio_id, 'ok', 'drawdown', 'broker', jsonb_build_object('v', 1, 'limit_ppm', most,
            'drawdown_ppm', drawdown, 'peak_equity', s.peak_equity, 'equity', s.equity, 'ts_ns', new.ts_ns));
    end if;
    insert into risk_state select s.* on conflict (portfolio_id) do update set ts_ns = s.ts_ns, equity = s.equity,
        day_ns = s.day_ns, day_equity = s.day_equity, peak_equity = s.peak_equity, tripped_ts_ns = s.tripped_ts_ns,
        tripped_ppm = s.tripped_ppm;
    return null;
end $$;
create or replace trigger equity_watched after insert on equity_mark for each row execute function watch_equity();

-- An admin takes the breaker back: from now on the peak is what the portfolio is worth. False where it had not tripped.
create or replace function reset_drawdown(p_actor bigint, p_portfolio bigint, p_reason text, p_origin text) returns boolean
language plpgsql security definer set search_path = public as $$
declare was risk_state;
begin
    select * into was from risk_state where portfolio_id = p_portfolio and tripped_ts_ns is not null for update;
    if not found then
        return false;
    end if;
    update risk_state set peak_equity = equity, tripped_ts_ns = null, tripped_ppm = null where portfolio_id = p_portfolio;
    insert into audit (user_id, action, subject, result, origin, detail) values (nullif(p_actor, 0),
        'limits.reset_drawdown', 'portfolio:' || p_portfolio, 'ok', p_origin,
        jsonb_build_object('v', 1, 'reason', p_reason, 'tripped_ppm', was.tripped_ppm, 'peak_equity', was.peak_equity));
    return true;
end $$;
