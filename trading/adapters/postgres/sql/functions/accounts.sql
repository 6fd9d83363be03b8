-- The ledger accounts of portfolios and of the floor.

-- The ledger account of a portfolio in an asset, made when first needed. Instruments are never short in a cash portfolio.
create or replace function account_of(p_portfolio bigint, p_asset int) returns bigint language plpgsql security definer
set search_path = public as $$
declare found_id bigint;
begin
    select id into found_id from account where portfolio_id = p_portfolio and asset_id = p_asset and kind = 'portfolio';
    if found_id is null then
        insert into account (asset_id, kind, portfolio_id, floor_zero)
            select p_asset, 'portfolio', p_portfolio, p.kind = 'cash' from portfolio p where p.id = p_portfolio
            on conflict (portfolio_id, asset_id) where kind = 'portfolio' do nothing;
        select id into found_id from account
            where portfolio_id = p_portfolio and asset_id = p_asset and kind = 'portfolio';
    end if;
    return found_id;
end $$;

-- The floor's own accounts of an asset appear with the asset.
create or replace function open_floor_accounts() returns trigger language plpgsql security definer set search_path = public as $$
begin
    insert into account (asset_id, kind, floor_zero) select new.id, k, false from unnest(
        case new.kind when 'currency' then array['market', 'actions', 'fees', 'deposits', 'taxes', 'interest', 'dividends',
                                                 'fx'] else array['market', 'actions'] end) k;
    return null;
end $$;
create or replace trigger asset_accounts after insert on asset
    for each row execute function open_floor_accounts();

-- The orders of a portfolio are counted from its first day.
create or replace function begin_order_count() returns trigger language plpgsql security definer set search_path = public as $$
begin
    insert into order_count (portfolio_id, owner_id) values (new.id, new.owner_id);
    return null;
end $$;
create or replace trigger portfolio_counted after insert on portfolio
    for each row execute function begin_order_count();
