"""Who a request speaks for: where its token comes from, and when a cookie counts."""
