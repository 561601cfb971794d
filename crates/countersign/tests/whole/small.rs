//! A system of one component that keeps nothing: for what concerns a system with clients and no state.

use crate::installation::Installation;

/// One component, which says its version and keeps nothing.
const MANIFEST: &str = r#"system = "visits"

[builds.tree]
run = ["/bin/sh", "make.sh"]

[components.web]
build = "tree"
files = { "/bin/busybox" = "out/busybox", "/www/health" = "health", "/www/cgi-bin/visit" = "out/web", "/www/cgi-bin/metrics" = "out/metrics" }
command = ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
port = 8080
health = { path = "/health", interval_ms = 100, timeout_ms = 1000, deadline_ms = 4000 }
zone = "front"
limits = { memory_mib = 32, cpu_percent = 100, pids = 64 }

[zones.front]

[[flows]]
from = "edge"
to = "web"

[suites.end-to-end]
kind = "full"
on = "containers"
run = ["/usr/bin/python3", "-m", "pytest", "-q", "e2e", "--junitxml=e2e.xml", "-p", "no:cacheprovider"]
report = "e2e.xml"
requirements = ["VIS-1"]
paths = ["e2e"]
timeout_s = 60

"#;

/// The build.
const MAKE: &str = "set -e
mkdir -p out
cp /usr/bin/busybox out/busybox
cp web.sh out/web
cp metrics.sh out/metrics
chmod 755 out/*
";

/// A visit, which is counted.
const WEB: &str = r#"#!/bin/busybox sh
# shellcheck shell=dash
printf x >> /tmp/visits
printf 'Content-Type: text/plain\r\n\r\n%s\n' "$COUNTERSIGN_SERIAL"
"#;

/// What it counts, and a figure that is always 0.
const METRICS: &str = r#"#!/bin/busybox sh
# shellcheck shell=dash
count() { if [ -e "/tmp/$1" ]; then /bin/busybox wc -c < "/tmp/$1"; else echo 0; fi; }
imbalance=0
printf 'Content-Type: text/plain; version=0.0.4\r\n\r\n'
printf 'visits_total %d\nvisits_refused_total %d\nimbalance_cents %d\n' "$(count visits)" "$(count refused)" "$imbalance"
"#;

pub(crate) const TESTS: &str = r#""""The running system, through its front."""

import os
import urllib.request


def visit():
    with urllib.request.urlopen(os.environ["COUNTERSIGN_URL_WEB"] + "/cgi-bin/visit", timeout=20) as answer:
        return answer.read().decode().split()


def test_the_version_is_shown():
    assert visit() == [os.environ["COUNTERSIGN_SERIAL"]]
"#;

impl Installation {
    /// Writes it, with more in its environment.
    pub(crate) fn write_small(&self, environment: &str) {
        let exposed = format!("[environments.production]\nexpose = {{ web = \"{}\" }}\n", self.exposed);
        self.write("countersign.toml", &format!("{MANIFEST}{exposed}{environment}"));
        self.write("make.sh", MAKE);
        self.write("web.sh", WEB);
        self.write("metrics.sh", METRICS);
        self.write("e2e/test_visits.py", TESTS);
    }

    /// Commits what there is and brings it live.
    pub(crate) fn release(&self, subject: &str, serial: &str) {
        self.push(subject);
        self.approve(serial);
        self.wait_milestone(serial, "live");
    }
}
