//! Rules and limits, the same for each proxy, and the request that the last of them takes.

use std::fmt::Write;

/// What stands in the configuration besides the way to the backends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    None,
    /// So many hosts, each with a rule of its own.
    Hosts(u16),
    /// So many paths with what is below them.
    Prefixes(u16),
    /// So many regular expressions for the path.
    Regexes(u16),
    /// Requests and connections of each client are limited, but not reached by the load.
    Limits,
    /// A host and a path with a header that is set and a limit per client.
    WholePath,
}

/// What a request asks for.
pub(crate) struct Asked {
    /// None: the address of the proxy.
    pub(crate) host: Option<String>,
    pub(crate) path: String,
}

/// A file that HAProxy reads besides its configuration.
pub(crate) struct Map {
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

/// More than any load brings.
const RATE: u32 = 1_000_000;

fn host(number: u16) -> String {
    format!("h{number}.example.com")
}

fn prefix(number: u16) -> String {
    format!("/p{number}")
}

/// Linear in nginx and HAProxy, so the last one is what costs most there.
fn regex(number: u16) -> String {
    format!("^/p{number}/[a-z]+$")
}

impl Rules {
    pub(crate) fn asked(self) -> Asked {
        match self {
            Rules::None | Rules::Limits => Asked { host: None, path: "/".to_owned() },
            Rules::Hosts(count) => Asked { host: Some(host(count - 1)), path: "/".to_owned() },
            Rules::Prefixes(count) | Rules::Regexes(count) => {
                Asked { host: None, path: format!("{}/index", prefix(count - 1)) }
            }
            Rules::WholePath => Asked { host: Some(host(0)), path: "/api/index".to_owned() },
        }
    }

    /// Keys of the listener.
    pub(crate) fn of_ringways_listener(self) -> String {
        match self {
            Rules::Limits => format!(
                "requests_per_second = {RATE}\nper_client = {{ requests_per_second = {RATE}, \
                 connections_per_second = {RATE}, max_connections = 10000 }}"
            ),
            _ => String::new(),
        }
    }

    /// The rules of the listener `web`.
    pub(crate) fn of_ringway(self) -> String {
        let mut text = String::new();
        let mut rule = |number: u16, conditions: &str| {
            let priority = number + 1;
            let _ = write!(
                text,
                "\n[[rule]]\nname = \"r{number}\"\nlistener = \"web\"\npriority = {priority}\n{conditions}\ngroup = \"app\"\n"
            );
        };
        match self {
            Rules::None | Rules::Limits => {}
            Rules::Hosts(count) => {
                (0..count).for_each(|number| rule(number, &format!("host = \"{}\"", host(number))));
            }
            Rules::Prefixes(count) => {
                (0..count).for_each(|number| rule(number, &format!("path_prefix = \"{}\"", prefix(number))));
            }
            Rules::Regexes(count) => {
                (0..count).for_each(|number| rule(number, &format!("path = '~{}'", regex(number))));
            }
            Rules::WholePath => rule(
                0,
                &format!(
                    "host = \"{}\"\npath_prefix = \"/api\"\nset_header = {{ name = \"X-Edge\", value = \"bench\" }}\n\
                     limit = {{ per_client_requests_per_second = {RATE} }}",
                    host(0)
                ),
            ),
        }
        text
    }

    /// What stands in the `http` block of nginx before its servers.
    pub(crate) fn of_nginxs_http(self) -> String {
        match self {
            Rules::Hosts(_) => {
                "server_names_hash_max_size 65536;\n    server_names_hash_bucket_size 64;".to_owned()
            }
            Rules::Limits | Rules::WholePath => format!(
                "limit_req_zone $binary_remote_addr zone=requests:10m rate={RATE}r/s;\n    \
                 limit_conn_zone $binary_remote_addr zone=connections:10m;"
            ),
            _ => String::new(),
        }
    }

    /// What stands in the server that takes all other hosts; `pass` is how a location forwards.
    pub(crate) fn of_nginxs_server(self, pass: &str) -> String {
        let location = |condition: &str| format!("location {condition} {{ {pass} }}\n        ");
        match self {
            Rules::None | Rules::Hosts(_) | Rules::WholePath => String::new(),
            Rules::Prefixes(count) => {
                (0..count).map(|number| location(&format!("{}/", prefix(number)))).collect()
            }
            Rules::Regexes(count) => {
                (0..count).map(|number| location(&format!("~ \"{}\"", regex(number)))).collect()
            }
            Rules::Limits => {
                "limit_req zone=requests burst=1000 nodelay;\n        limit_conn connections 10000;"
                    .to_owned()
            }
        }
    }

    /// Servers of nginx besides that; `listen` and `pass` are what stands in each.
    pub(crate) fn of_nginx(self, listen: &str, pass: &str) -> String {
        let server = |name: &str, locations: &str| {
            format!("server {{ {listen} server_name {name}; {locations} }}\n    ")
        };
        match self {
            Rules::Hosts(count) => {
                let whole = format!("location / {{ {pass} }}");
                (0..count).map(|number| server(&host(number), &whole)).collect()
            }
            Rules::WholePath => {
                let limit = "limit_req zone=requests burst=1000 nodelay; proxy_set_header X-Edge bench;";
                server(&host(0), &format!("location /api/ {{ {pass} {limit} }} location / {{ {pass} }}"))
            }
            _ => String::new(),
        }
    }

    /// What stands in the frontend of HAProxy before its `default_backend`; maps are found in `folder`.
    pub(crate) fn of_haproxy(self, folder: &str) -> String {
        let table = "stick-table type ip size 100k expire 10s store http_req_rate(1s),conn_cur\n    \
                     http-request track-sc0 src";
        let limit = format!("http-request deny deny_status 503 if {{ sc_http_req_rate(0) gt {RATE} }}");
        match self {
            Rules::None => String::new(),
            Rules::Hosts(_) => {
                format!("use_backend %[req.hdr(host),lower,map_str({folder}/rules.map,app)]")
            }
            Rules::Prefixes(_) => format!("use_backend %[path,map_beg({folder}/rules.map,app)]"),
            Rules::Regexes(_) => format!("use_backend %[path,map_reg({folder}/rules.map,app)]"),
            Rules::Limits => {
                format!("{table}\n    {limit}\n    http-request deny if {{ sc_conn_cur(0) gt 10000 }}")
            }
            Rules::WholePath => {
                let is_asked = format!("{{ hdr(host) -i {} }} {{ path_beg /api/ }}", host(0));
                format!(
                    "{table}\n    {limit}\n    http-request set-header X-Edge bench if {is_asked}\n    \
                     use_backend app if {is_asked}"
                )
            }
        }
    }

    /// The map of HAProxy.
    pub(crate) fn map(self) -> Option<Map> {
        let lines = |count: u16, key: fn(u16) -> String| (0..count).map(move |number| key(number) + " app\n");
        let text = match self {
            Rules::Hosts(count) => lines(count, host).collect(),
            Rules::Prefixes(count) => lines(count, |number| prefix(number) + "/").collect(),
            Rules::Regexes(count) => lines(count, regex).collect(),
            Rules::None | Rules::Limits | Rules::WholePath => return None,
        };
        Some(Map { name: "rules.map", text })
    }
}
