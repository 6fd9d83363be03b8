-- Retention, erasure, the audit trail.

-- What the trail is searched by; every search goes through ids, newest first.
create index audit_user on audit (user_id, id);
create index audit_action on audit (action text_pattern_ops, id);
create index audit_subject on audit (subject, id);
create index audit_time on audit using brin (at);
drop index audit_at;  -- the primary key reads backwards as well

alter table app_user add column erased_at timestamptz;

-- Who looked at whose portfolio in which hour: told in the trail once.
create table access_seen (
    user_id      bigint not null,
    session      bytea not null,
    portfolio_id bigint not null,
    hour         bigint not null,
    primary key (user_id, session, portfolio_id, hour)
);

create index idempotency_key_created on idempotency_key using brin (created_at);
create index monitor_cycle_time on monitor_cycle using brin (ts_ns);
