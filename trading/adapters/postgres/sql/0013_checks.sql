-- The rules for rows of the busiest tables are in functions/checks.sql from now on, one CHECK for each table.
do $$
declare c record;
begin
    for c in select conrelid::regclass as owner, conname from pg_constraint where contype = 'c' and conrelid in (
        'orders'::regclass, 'account'::regclass, 'hold'::regclass, 'transfer'::regclass, 'fill'::regclass, 'lot'::regclass)
    loop
        execute format('alter table %s drop constraint %I', c.owner, c.conname);
    end loop;
end $$;
