#!/bin/sh
# Fills the passwords of the environment into the definitions, which the broker loads at every start.
set -eu
umask 077

definitions=/tmp/definitions.json
cp "${0%/*}/definitions.json" "$definitions"
chmod 600 "$definitions"
for user in GATEWAY CHAT_WORKER USAGE_LEDGER PIPEDRIVE_SYNC MONITOR OPERATOR; do
    name="${user}_AMQP_PASSWORD"
    eval "password=\${$name:-}"
    case $password in
    '' | *[!A-Za-z0-9._~-]*)
        echo "$name must be set, and have letters, digits and -._~ only: it stands in a URL" >&2
        exit 78
        ;;
    esac
    # A sed script from standard input: an argument would show in the list of processes.
    echo "s/\${$name}/$password/" | sed -f - -i "$definitions"
    unset "$name"
done
exec docker-entrypoint.sh rabbitmq-server
