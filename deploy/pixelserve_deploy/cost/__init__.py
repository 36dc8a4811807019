"""The cost estimator: price books, one engine in Decimals, three policies, and what is built on them."""
