-- How far through the market a close-out may trade, for each market; it was 10 % for all.
alter table margin_policy
    add column close_band_ppm bigint not null default 100000 check (close_band_ppm between 1 and 1000000);
