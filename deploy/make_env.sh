#!/bin/sh
# Make the secrets that compose.yaml wants: deploy/.env, readable by its owner alone. What is there is kept.
set -eu
file="$(dirname "$0")/.env"
if [ -e "$file" ]; then
    echo "$file is there already: delete it first to make all secrets anew" >&2
    exit 1
fi
umask 077
secret() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
cat >"$file" <<EOF
POSTGRES_PASSWORD=$(secret)
PREFECT_AUTH_STRING=thalweg:$(secret)
RAY_AUTH_TOKEN=$(secret)
THALWEG_DASHBOARD_TOKEN=$(secret)
THALWEG_METRICS_TOKEN=$(secret)
AWS_ACCESS_KEY_ID=thalweg
AWS_SECRET_ACCESS_KEY=$(secret)
EOF
echo "made $file"
