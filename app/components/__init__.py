"""Parts of screens: live prices, tables, the order ticket, the blotter."""
