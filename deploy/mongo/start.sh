#!/bin/sh
# Starts mongod as a replica set of one: transactions and majority reads need one.
set -eu
umask 077

# With authentication a replica set wants a key that its members share. This one is its only member, so the key
# is made here, once, and needs to be known to nobody else.
key=/data/configdb/replica-set.key
if [ ! -s "$key" ]; then
    head -c 756 /dev/urandom | base64 -w 0 >"$key.new"
    chmod 400 "$key.new"
    mv "$key.new" "$key"
fi
exec docker-entrypoint.sh mongod --replSet rs0 --bind_ip_all --keyFile "$key"
