#!/usr/bin/env bash
# A surge at ten times the capacity of a component, through the edge, through nginx with limit_req and through HAProxy with a
# queue by priority, one after the other on the same load: what becomes of the requests that matter, how much of the
# capacity is used, and how soon all is well again.
#
#   benches/surge.sh [seconds of surge, 30] [requests at once, 8] [ms each, 20] [rounds, 1]
#
# The component answers so many at once, each after so long, and lets the others wait. nginx is told its rate (what is left by
# what matters) and HAProxy how many it takes at once; the edge is told neither. `haproxy-2x` and `nginx-2x` are told twice as much
# as is true, as after a release that is half as fast.
#
# Needs nginx, HAProxy and curl (apt-get install nginx-light haproxy curl) and a release build of the edge, which it makes.
set -euo pipefail

seconds=${1:-30} at_once=${2:-8} ms=${3:-20} rounds=${4:-1}
for tool in nginx haproxy curl cargo; do
    command -v "$tool" >/dev/null || { echo "benches/surge.sh: $tool is missing: apt-get install nginx-light haproxy curl" >&2; exit 2; }
done
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
cargo build --quiet --release -p edge --example edge-alone --example edge-surge
programs=${CARGO_TARGET_DIR:-$root/target}/release/examples

work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
ulimit -n "$(ulimit -Hn)"

# Addresses of this run alone, below the range of ephemeral ports.
host=127.$((1 + $$ / 200 % 200)).$((1 + $$ % 200)).1
component=$host:18090 by_edge=$host:18091
capacity=$((at_once * 1000 / ms))

nginx_of() { # name, port, rate of what matters less
    cat >"$work/$1.conf" <<CONF
daemon off; pid $work/$1.pid; error_log $work/$1.log crit; worker_processes 2;
events { worker_connections 8192; }
http {
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path $work/$1-1; proxy_temp_path $work/$1-2; fastcgi_temp_path $work/$1-3; uwsgi_temp_path $work/$1-4; scgi_temp_path $work/$1-5;
    limit_req_zone \$server_port zone=rest:1m rate=$3r/s;
    upstream one { server $component; keepalive 128; keepalive_requests 1000000000; }
    server {
        listen $host:$2;
        proxy_http_version 1.1; proxy_set_header Connection "";
        location /settlements { proxy_pass http://one; }
        location / { limit_req zone=rest burst=$at_once nodelay; limit_req_status 503; proxy_pass http://one; }
    }
}
CONF
    nginx -c "$work/$1.conf" & started+=($!)
}
haproxy_of() { # name, port, requests at once
    cat >"$work/$1.cfg" <<CONF
global
    nbthread 2
    maxconn 8192
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 100ms
    http-reuse always
frontend in
    bind $host:$2
    http-request set-priority-class int(-10) if { path_beg /settlements }
    default_backend one
backend one
    server up $component maxconn $3
CONF
    haproxy -db -f "$work/$1.cfg" & started+=($!)
}
"$programs/edge-surge" serve "$component" "$at_once" "$ms" & started+=($!)
nginx_of nginx 18092 $((capacity * 6 / 10))
nginx_of nginx-2x 18093 $((capacity * 16 / 10))
haproxy_of haproxy 18094 "$at_once"
haproxy_of haproxy-2x 18095 $((at_once * 2))
"$programs/edge-alone" "$work/edge.sock" 2 & started+=($!)

reachable() { for _ in $(seq 100); do curl -sf -o /dev/null "$@" && return; sleep 0.1; done; echo "benches/surge.sh: not reachable: $*" >&2; exit 1; }
reachable --unix-socket "$work/edge.sock" http://edge/health
curl -sf -o /dev/null --unix-socket "$work/edge.sock" -X PUT http://edge/table -d "{\"generation\":1,\"revision\":1,\"routes\":[{\"listen\":\"$by_edge\",\"component\":\"web\",\"tls\":null,\"state\":\"open\",\"backends\":[{\"serial\":\"bench-000001\",\"weight\":1,\"instances\":[\"$component\"]}],\"surge\":{\"classes\":[{\"name\":\"settlement\",\"paths\":[\"/settlements\"]}],\"queue_ms\":100}}]}"
for port in 18090 18091 18092 18093 18094 18095; do reachable "http://$host:$port/"; done

echo "$capacity requests a second ($at_once at once, $ms ms each), 10 times that for $seconds s, $(nproc) cores, $(nginx -v 2>&1), $(haproxy -v | head -n 1 | cut -d' ' -f1-3), load $(cut -d' ' -f1-3 /proc/loadavg)"
for _ in $(seq "$rounds"); do
    "$programs/edge-surge" drive edge "$by_edge" "$capacity" "$seconds"
    "$programs/edge-surge" drive nginx "$host:18092" "$capacity" "$seconds"
    "$programs/edge-surge" drive nginx-2x "$host:18093" "$capacity" "$seconds"
    "$programs/edge-surge" drive haproxy "$host:18094" "$capacity" "$seconds"
    "$programs/edge-surge" drive haproxy-2x "$host:18095" "$capacity" "$seconds"
done
