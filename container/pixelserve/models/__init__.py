"""Networks and what runs them. Knows no HTTP: `code/<feature>/inference.py` puts a model behind the contract."""
