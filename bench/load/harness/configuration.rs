//! The configuration of each proxy: one worker, keep-alive to the origin, no access log unless a row has one.
//!
//! With HTTPS all serve the same certificate, have tickets, and agree with every client on the group X25519 and the
//! suite TLS_AES_128_GCM_SHA256. Ringway does so by default, although it prefers X25519MLKEM768 where it is offered.

use crate::backends::{Order, PROBE_INTERVAL_S, PROBE_PATH};
use crate::row::Upstream;
use ringway_bench::site::Site;
use std::net::SocketAddr;
use std::path::Path;

pub(crate) fn of_ringway(
    address: SocketAddr,
    upstream: Upstream,
    folder: &Path,
    site: Option<&Site>,
) -> String {
    let (certificate, protocol) = match site {
        None => (String::new(), "protocol = \"http\""),
        Some(site) => {
            let (chain, key) = (site.chain.display(), site.key.display());
            let certificate =
                format!("[[certificate]]\nname = \"site\"\nchain = \"{chain}\"\nkey = \"{key}\"\n");
            (certificate, "protocol = \"https\"\ncertificates = [\"site\"]")
        }
    };
    let (order, probes, backends) = group_of_ringway(upstream);
    let (limits, rules) = (upstream.row.rules.of_ringways_listener(), upstream.row.rules.of_ringway());
    let logging = upstream.row.logging.of_ringway(folder);
    format!(
        r#"config_version = 1

[process]
workers = 1
pin = true
shutdown_timeout = "2s"

{logging}{certificate}
[[listener]]
name = "web"
address = "{address}"
{protocol}
default_group = "app"
idle_timeout = "600s"
{limits}

[[server_group]]
name = "app"
protocol = "http"
{order}
keepalive_timeout = "600s"
keepalive_connections = 16384
{probes}{backends}{rules}"#
    )
}

/// The algorithm, the health check and the backends of Ringway's group.
fn group_of_ringway(upstream: Upstream) -> (&'static str, String, String) {
    let order = match upstream.row.backends.order {
        Order::RoundRobin => "algorithm = \"weighted_round_robin\"",
        Order::LeastConnections => "algorithm = \"weighted_least_connections\"",
        Order::Path => "algorithm = \"consistent_hash\"\nhash_key = { path = true }",
    };
    let probes = if upstream.row.backends.checked {
        format!(
            "\n[server_group.health_check]\npath = \"{PROBE_PATH}\"\ninterval = \"{PROBE_INTERVAL_S}s\"\n"
        )
    } else {
        String::new()
    };
    let backend = |address| format!("\n[[server_group.backend]]\naddress = \"{address}\"\n");
    (order, probes, upstream.addresses().map(backend).collect())
}

/// Larger buffers and no temporary files are what helps nginx with 1 MiB bodies; small ones do not touch them.
///
/// nginx takes the suites of TLS 1.3 only as a command to OpenSSL. Without a session cache it has tickets.
pub(crate) fn of_nginx(
    address: SocketAddr,
    upstream: Upstream,
    folder: &Path,
    site: Option<&Site>,
) -> String {
    let (ssl, certificate) = tls_of_nginx(site);
    // SAFETY: geteuid takes no pointer and cannot fail.
    let user = if unsafe { libc::geteuid() } == 0 { "user root;" } else { "" };
    let servers: String =
        upstream.addresses().map(|address| format!("server {address};\n        ")).collect();
    let rules = upstream.row.rules;
    let pass = "proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_max_temp_file_size 0;
            proxy_buffers 8 32k;";
    let access_log = upstream.row.logging.of_nginx(folder);
    let folder = folder.display();
    let of_http = rules.of_nginxs_http();
    let of_server = rules.of_nginxs_server(pass);
    let of_hosts = rules.of_nginx(&format!("listen {address} {ssl};"), pass);
    format!(
        "daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr error;
worker_processes 1;
worker_rlimit_nofile 20000;
events {{
    worker_connections 18000;
}}
http {{
    {access_log}
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    tcp_nodelay on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    upstream app {{
        {servers}keepalive 8192;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    {of_http}
    server {{
        listen {address} {ssl}backlog=16384 default_server;
        {certificate}
        {of_server}
        location / {{
            {pass}
        }}
    }}
    {of_hosts}
}}
"
    )
}

/// What a `listen` and its server say of TLS.
fn tls_of_nginx(site: Option<&Site>) -> (&'static str, String) {
    match site {
        None => ("", String::new()),
        Some(site) => {
            let (chain, key) = (site.chain.display(), site.key.display());
            let certificate = format!(
                "ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3 TLSv1.2;
        ssl_ecdh_curve X25519;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_session_cache none;
        ssl_session_tickets on;
        client_max_body_size 0;
        proxy_request_buffering off;"
            );
            ("ssl http2 ", certificate)
        }
    }
}

/// Two descriptors per connection and one per probed server: 9,400 connections and 1,000 servers fit into the limit
/// of 20,000. By default HAProxy closes idle upstream connections when a quarter of its descriptors is in use, which
/// costs it most of its time at 8,000 connections.
pub(crate) fn of_haproxy(
    address: SocketAddr,
    upstream: Upstream,
    folder: &Path,
    site: Option<&Site>,
) -> String {
    let rules = upstream.row.rules.of_haproxy(&folder.display().to_string());
    let (log, logs) = upstream.row.logging.of_haproxy();
    let ssl = site.map_or(String::new(), |site| {
        let file = site.chain_and_key.display();
        format!("ssl crt {file} curves X25519 ciphersuites TLS_AES_128_GCM_SHA256 alpn h2,http/1.1")
    });
    let (probe, check) = if upstream.row.backends.checked {
        (format!("option httpchk HEAD {PROBE_PATH}"), format!("check inter {PROBE_INTERVAL_S}s"))
    } else {
        (String::new(), String::new())
    };
    let server = |(number, address)| format!("    server s{number} {address} {check}\n");
    let servers: String = (1..).zip(upstream.addresses()).map(server).collect();
    format!(
        "global
    nbthread 1
    {log}
    maxconn 9400
    tune.pool-low-fd-ratio 99
    tune.pool-high-fd-ratio 100
defaults
    mode http
    {logs}
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    http-reuse always
frontend web
    bind {address} backlog 16384 {ssl}
    {rules}
    default_backend app
backend app
    balance roundrobin
    {probe}
{servers}"
    )
}

/// h2o knows no suites of TLS 1.3, but its OpenSSL reads a file.
pub(crate) const OF_OPENSSL: &str = "openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
";

/// Only for HTTP/2 over TLS. It has one thread, and connections to the origin are kept as long as elsewhere.
pub(crate) fn of_h2o(address: SocketAddr, upstream: Upstream, site: Option<&Site>) -> String {
    let ssl = site.map_or(String::new(), |site| {
        format!(
            "
  ssl:
    certificate-file: {}
    key-file: {}",
            site.chain.display(),
            site.key.display()
        )
    });
    let (host, port) = (address.ip(), address.port());
    let origin = upstream.origin;
    // SAFETY: geteuid takes no pointer and cannot fail.
    let user = if unsafe { libc::geteuid() } == 0 { "user: root" } else { "" };
    format!(
        "num-threads: 1
max-connections: 20000
{user}
limit-request-body: 4294967296
http1-request-timeout: 600
http2-idle-timeout: 600
proxy.timeout.keepalive: 600000
listen:
  host: {host}
  port: {port}{ssl}
hosts:
  default:
    paths:
      /:
        proxy.reverse.url: http://{origin}/
"
    )
}
