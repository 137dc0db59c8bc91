"""The audit: checks the ledger's promises on live data, without stopping anything.

It needs no snapshot of everything. Rows are read first and never change any more, an account is one
document and is read after them, so both must agree whatever goes on meanwhile. In memory are some
thousand documents, and a few numbers for each account and day.
"""
