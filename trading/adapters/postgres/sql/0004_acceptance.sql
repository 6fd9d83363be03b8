-- What an order writes when it is accepted, with fewer questions.
--
-- As in 0003 the references of orders, holds and commands stay declared and one statement trigger asks for all new rows.
-- A foreign key would also lock the rows named for each order: the portfolio, the version of the instrument, the user.
do $$
declare
    child text;
    missing text;
begin
    foreach child in array array['orders', 'hold', 'command'] loop
        select string_agg(format('%s not exists (select 1 from %s parent where %s)', (
                   select string_agg(format('added.%I is not null and', attname), ' ')
                   from pg_attribute where attrelid = c.conrelid and attnum = any (c.conkey) and not attnotnull),
                   c.confrelid::regclass, (
                   select string_agg(format('parent.%I = added.%I', there.attname, here.attname), ' and ')
                   from unnest(c.conkey, c.confkey) k (own, other)
                   join pg_attribute here on here.attrelid = c.conrelid and here.attnum = k.own
                   join pg_attribute there on there.attrelid = c.confrelid and there.attnum = k.other)), ' or ')
            into missing from pg_constraint c where c.contype = 'f' and c.conrelid = child::regclass;
        execute format($body$
            create function check_%1$s_references() returns trigger language plpgsql security definer
            set search_path = public as $f$
            begin
                if exists (select 1 from added where %2$s) then
                    raise exception 'a row of %1$s names what is not there' using errcode = 'foreign_key_violation';
                end if;
                return null;
            end $f$;
            create trigger %1$s_references after insert on %1$s referencing new table as added
                for each statement execute function check_%1$s_references()$body$, child, missing);
        execute (select string_agg(format('alter table %s alter constraint %I not enforced', child, conname), '; ')
                 from pg_constraint where contype = 'f' and conrelid = child::regclass);
    end loop;
end $$;

-- Ids that grow with time go to the end of their index.
alter table orders alter public_id set default 'ord_' || replace(uuidv7()::text, '-', '');
