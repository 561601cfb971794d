#!/usr/bin/env bash
# Compares the edge with nginx and HAProxy as reverse proxies, side by side in one run: requests a second, latency, and the
# CPU time that the proxy itself takes for a request. Each has two threads or workers, keeps connections to the same upstream
# (nginx, 1 KiB) and writes no access log; rounds alternate, so that a change of the machine's load meets all of them.
#
#   benches/edge.sh [seconds a round, 8] [rounds, 3] [connections, 64]
#
# Needs nginx, HAProxy, wrk and curl (apt-get install nginx-light haproxy wrk curl) and a release build of the edge, which it makes.
set -euo pipefail

seconds=${1:-8} rounds=${2:-3} connections=${3:-64}
for tool in nginx haproxy wrk curl cargo; do
    command -v "$tool" >/dev/null || { echo "benches/edge.sh: $tool is missing: apt-get install nginx-light haproxy wrk curl" >&2; exit 2; }
done
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
cargo build --quiet --release -p edge --example edge-alone
program=${CARGO_TARGET_DIR:-$root/target}/release/examples/edge-alone

work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# Addresses of this run alone, below the range of ephemeral ports.
host=127.$((1 + $$ / 200 % 200)).$((1 + $$ % 200)).1
upstream=$host:18080 by_nginx=$host:18081 by_edge=$host:18082 by_haproxy=$host:18083

body=$(head -c 1024 /dev/zero | tr '\0' x)
cat >"$work/upstream.conf" <<CONF
daemon off; pid $work/upstream.pid; error_log $work/upstream.log crit; worker_processes 2;
events { worker_connections 4096; }
http {
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path $work/u1; proxy_temp_path $work/u2; fastcgi_temp_path $work/u3; uwsgi_temp_path $work/u4; scgi_temp_path $work/u5;
    server { listen $upstream; location / { default_type text/plain; return 200 "$body"; } }
}
CONF
cat >"$work/proxy.conf" <<CONF
daemon off; pid $work/proxy.pid; error_log $work/proxy.log crit; worker_processes 2;
events { worker_connections 4096; }
http {
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path $work/p1; proxy_temp_path $work/p2; fastcgi_temp_path $work/p3; uwsgi_temp_path $work/p4; scgi_temp_path $work/p5;
    upstream one { server $upstream; keepalive 128; keepalive_requests 1000000000; }
    server {
        listen $by_nginx;
        location / {
            proxy_pass http://one; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host \$http_host; proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Proto \$scheme;
        }
    }
}
CONF
cat >"$work/haproxy.cfg" <<CONF
global
    nbthread 2
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
    option forwardfor
frontend in
    bind $by_haproxy
    http-request set-header X-Forwarded-Proto http
    default_backend one
backend one
    server up $upstream pool-max-conn 128
CONF
nginx -c "$work/upstream.conf" & started+=($!)
nginx -c "$work/proxy.conf" & proxy=$!; started+=("$proxy")
haproxy -db -f "$work/haproxy.cfg" & haproxy=$!; started+=("$haproxy")
"$program" "$work/edge.sock" 2 & edge=$!; started+=("$edge")

reachable() { for _ in $(seq 100); do curl -sf -o /dev/null "$@" && return; sleep 0.1; done; echo "benches/edge.sh: not reachable: $*" >&2; exit 1; }
reachable --unix-socket "$work/edge.sock" http://edge/health
curl -sf -o /dev/null --unix-socket "$work/edge.sock" -X PUT http://edge/table -d "{\"generation\":1,\"revision\":1,\"routes\":[{\"listen\":\"$by_edge\",\"component\":\"web\",\"tls\":null,\"state\":\"open\",\"backends\":[{\"serial\":\"bench-000001\",\"weight\":1,\"instances\":[\"$upstream\"]}]}]}"
for address in "$upstream" "$by_nginx" "$by_haproxy" "$by_edge"; do reachable "http://$address/"; done

ticks=$(getconf CLK_TCK)
# CPU time of a process and its children, in ticks: fields 14 and 15 of proc_pid_stat(5), counted after the name.
cpu() { for pid in "$1" $(pgrep -P "$1" || true); do sed 's/.*) //' "/proc/$pid/stat"; done | awk '{ sum += $12 + $13 } END { print sum }'; }

round() { # name, process or 0, address
    local before after out
    before=$(if [ "$2" = 0 ]; then echo 0; else cpu "$2"; fi)
    out=$(wrk -t2 -c"$connections" -d"${seconds}s" --latency "http://$3/")
    after=$(if [ "$2" = 0 ]; then echo 0; else cpu "$2"; fi)
    if grep -Eq 'Socket errors|Non-2xx' <<<"$out"; then echo "$out" >&2; exit 1; fi
    awk -v name="$1" -v ticks="$ticks" -v cpu=$((after - before)) '
        $1 == "50%" { p50 = $2 } $1 == "99%" { p99 = $2 } $1 == "Requests/sec:" { rate = $2 } $2 == "requests" && $3 == "in" { n = $1 }
        END { printf "%-10s %10.0f requests/s   p50 %8s   p99 %8s   %6.1f us CPU a request\n", name, rate, p50, p99, cpu * 1e6 / ticks / n }' <<<"$out"
}

echo "wrk -t2 -c$connections -d${seconds}s, 1 KiB answers, $(nproc) cores, $(nginx -v 2>&1), $(haproxy -v | head -n 1 | cut -d' ' -f1-3), load $(cut -d' ' -f1-3 /proc/loadavg)"
for _ in $(seq "$rounds"); do
    round direct 0 "$upstream"
    round nginx "$proxy" "$by_nginx"
    round haproxy "$haproxy" "$by_haproxy"
    round edge "$edge" "$by_edge"
done
