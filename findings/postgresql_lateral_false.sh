#!/usr/bin/env bash
# PostgreSQL 15.18: a function behind `left join lateral … on <a parameter that is false>` is called all the same.
#
# In a prepared statement with a generic plan, a condition that depends on parameters alone can be checked once, before anything
# runs; PostgreSQL does so for `where $1` and for `case`. In the ON of a left join it becomes a join filter instead: the lateral
# side is evaluated first, and its effects stay although its row is thrown away.
#
# Seen: after executing with `false`, a volatile function that writes a row has written it in the join, and not in the CASE.
set -euo pipefail
work=$(mktemp -d)
stop() {
    [ ! -f "$work/data/postmaster.pid" ] || kill -INT "$(head -n 1 "$work/data/postmaster.pid")"
    wait
    rm -rf "$work"
}
trap stop EXIT
cd "$work"
version=15.18-0+deb12u1
apt-get download -qq "postgresql-15=$version" "postgresql-client-15=$version" "libpq5=$version" >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
bin=$work/root/usr/lib/postgresql/15/bin
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu
chmod -R a+rX "$work" && chmod 777 "$work"
as_nobody() { if [ "$(id -u)" = 0 ]; then setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; else "$@"; fi; }
as_nobody "$bin/initdb" -D "$work/data" --auth=trust --no-sync --locale=C --username=u >/dev/null
as_nobody "$bin/postgres" -D "$work/data" -c listen_addresses= -c "unix_socket_directories=$work" >log 2>&1 &
psql() { "$bin/psql" -h "$work" -U u -d postgres -qtA "$@"; }
for _ in $(seq 100); do psql -c 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
seen=$(psql <<'SQL'
create table called (how text);
create function f(how text) returns integer language plpgsql volatile as
    $$ begin insert into called values (how); return 1; end $$;
set plan_cache_mode = force_generic_plan;
prepare joined(boolean) as select x.n, y.v from (values (1)) as x (n) left join lateral (select f('join') as v) y on $1;
prepare cased(boolean) as select x.n, case when $1 then f('case') end from (values (1)) as x (n);
\o /dev/null
execute joined(false);
execute cased(false);
\o
select coalesce(string_agg(how, ','), 'nothing') from called;
SQL
)
echo "PostgreSQL ${version%%-*}: called although the condition was false: $seen"
[ "$seen" = join ]
