-- What an order writes when it is accepted and filled, with cheaper questions.

-- Orders, holds and commands come one by one: as in 0003 their references stay declared, and a trigger asks for each row.
-- A foreign key would also lock the rows named: the portfolio, the version of the instrument, the user.
do $$
declare
    child text;
    missing text;
begin
    foreach child in array array['orders', 'hold', 'command'] loop
        select string_agg(format('%s not exists (select 1 from %s parent where %s)', (
                   select string_agg(format('new.%I is not null and', attname), ' ')
                   from pg_attribute where attrelid = c.conrelid and attnum = any (c.conkey) and not attnotnull)
                   || case when c.confrelid = c.conrelid then ' new.group_id <> new.id and' else '' end,
                   c.confrelid::regclass, (
                   select string_agg(format('parent.%I = new.%I', there.attname, here.attname), ' and ')
                   from unnest(c.conkey, c.confkey) k (own, other)
                   join pg_attribute here on here.attrelid = c.conrelid and here.attnum = k.own
                   join pg_attribute there on there.attrelid = c.confrelid and there.attnum = k.other)), ' or ')
            into missing from pg_constraint c where c.contype = 'f' and c.conrelid = child::regclass;
        execute format($body$
            create function check_%1$s_references() returns trigger language plpgsql security definer
            set search_path = public set plan_cache_mode = force_generic_plan as $f$
            begin
                if %2$s then
                    raise exception 'a row of %1$s names what is not there' using errcode = 'foreign_key_violation';
                end if;
                return new;
            end $f$;
            create trigger %1$s_references before insert on %1$s
                for each row execute function check_%1$s_references()$body$, child, missing);
        execute (select string_agg(format('alter table %s alter constraint %I not enforced', child, conname), '; ')
                 from pg_constraint where contype = 'f' and conrelid = child::regclass);
    end loop;
end $$;

-- The questions of 0003, each row's by a key: a statement planned while the tables were small read all of the table that
-- is named, however much it had grown.
do $$
declare
    child text;
    parents text;
    missing text;
begin
    foreach child in array array['transfer', 'fill', 'order_event', 'lot', 'lot_close'] loop
        select string_agg(format('left join lateral (select true as there from %s parent where %s limit 1) p%s on true',
                   c.confrelid::regclass, (
                   select string_agg(format('parent.%I = added.%I', there.attname, here.attname), ' and ')
                   from unnest(c.conkey, c.confkey) k (own, other)
                   join pg_attribute here on here.attrelid = c.conrelid and here.attnum = k.own
                   join pg_attribute there on there.attrelid = c.confrelid and there.attnum = k.other), c.oid), ' '),
               string_agg(format('p%s.there is null', c.oid), ' or ')
            into parents, missing from pg_constraint c where c.contype = 'f' and c.conrelid = child::regclass;
        execute format($body$
            create or replace function check_%1$s_references() returns trigger language plpgsql security definer
            set search_path = public set enable_seqscan = off as $f$
            begin
                if exists (select 1 from added %2$s where %3$s) then
                    raise exception 'a row of %1$s names what is not there' using errcode = 'foreign_key_violation';
                end if;
                return null;
            end $f$;$body$, child, parents, missing);
    end loop;
end $$;

-- Ids that grow with time go to the end of their index.
alter table orders alter public_id set default 'ord_' || replace(uuidv7()::text, '-', '');
