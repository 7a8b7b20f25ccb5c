#!/usr/bin/env bash
# A postmaster that somebody's service starts speaks to that service's supervisor.
#
# Debian's PostgreSQL 15.18 is built with systemd: a postmaster that inherits NOTIFY_SOCKET sends READY=1 there by itself, and
# STOPPING=1 as it ends. A program that runs a private PostgreSQL and is itself a unit of Type=notify is so declared ready by its
# child, long before it serves anything (with NotifyAccess=all), and "stopping" whenever that child is restarted.
#
# Seen: the socket receives "READY=1…" and later "STOPPING=1" from the postmaster; with NOTIFY_SOCKET taken out, nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
version=15.18-0+deb12u1
apt-get download -qq "postgresql-15=$version" "postgresql-client-15=$version" "libpq5=$version" >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
bin=$work/root/usr/lib/postgresql/15/bin
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu
chmod -R a+rX "$work" && mkdir data && chmod 777 "$work" data

cat >listen.py <<'PY'
import os, pathlib, signal, socket, subprocess, sys, time
work, bin, with_socket = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "yes"
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)  # PostgreSQL does not run as root.
data, path = work / f"data/{sys.argv[3]}", work / f"data/{sys.argv[3]}.sock"
subprocess.run([f"{bin}/initdb", "-D", data, "--auth=trust", "--no-sync", "--locale=C"], check=True, stdout=subprocess.DEVNULL)
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind(str(path))
heard.settimeout(10 if with_socket else 3)
environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"} | ({"NOTIFY_SOCKET": str(path)} if with_socket else {})
server = subprocess.Popen(
    [f"{bin}/postgres", "-D", data, "-c", "listen_addresses=", "-c", f"unix_socket_directories={work}/data"],
    env=environment, stderr=subprocess.DEVNULL)
said = []
try:
    said.append(heard.recv(4096).decode().splitlines()[0])
    server.send_signal(signal.SIGINT)
    said.append(heard.recv(4096).decode().splitlines()[0])
except TimeoutError:
    pass
server.send_signal(signal.SIGINT)
server.wait()
print(",".join(said) or "nothing")
PY
told=$(python3 listen.py "$work" "$bin" yes)
silent=$(python3 listen.py "$work" "$bin" no)
echo "postgresql-15 $version: with NOTIFY_SOCKET it says: $told; without: $silent"
[ "$told" = "READY=1,STOPPING=1" ] && [ "$silent" = nothing ]
