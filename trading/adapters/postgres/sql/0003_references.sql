-- References of the rows that a batch of fills writes, asked once for each statement.
--
-- A foreign key asks once for each row and locks the row it names: more than half of the time of a batch of 50 fills.
-- Here the keys stay declared, and a statement trigger looks at all new rows at once. What they name can't go away:
-- it is never deleted and its key never changes, which the triggers on the other side see to.
do $$
declare
    child text;
    missing text;
begin
    foreach child in array array['transfer', 'fill', 'order_event', 'lot', 'lot_close'] loop
        select string_agg(format('not exists (select 1 from %s parent where %s)', c.confrelid::regclass, (
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
