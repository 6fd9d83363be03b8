-- Backups that were made or tried, for the screens; what can be restored says the folder they are in.
create table backup_try (
    id      bigint generated always as identity primary key,
    ts_ns   bigint not null,
    name    text not null default '',
    ok      boolean not null,
    bytes   bigint not null default 0 check (bytes >= 0),
    trouble text not null default '',
    check (ok = (trouble = ''))
);
