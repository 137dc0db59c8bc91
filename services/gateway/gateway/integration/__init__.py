"""/int: what the customer's CRM and main application tell us. Stored before it is answered."""
