"""The audit: checks the ledger's promises on live data, without stopping anything.

It needs no snapshot of everything. An account is read in one document, and the rows up to the sequence in
it never change any more, so both must agree whatever goes on meanwhile. Memory stays bounded: cursors and
batches, and a few numbers for each day.
"""
