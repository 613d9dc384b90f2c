//! The console as files: who gets them, and what browsers are told about them. What they do is judged in a browser by
//! `scripts/outside`.

use crate::support::api::{admin_address, call, call_at};
use crate::support::{Backend, Ringway, Scenario};

fn start() -> Ringway {
    Scenario::of(&Backend::echo_head())
        .table("[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"\n")
        .start()
}

#[test]
fn browsers_get_the_pages_and_are_told_to_load_nothing_else() {
    let ringway = start();
    let address = admin_address(&ringway);
    let page = call_at(address, ("GET", "/console/"), &[], "");
    assert_eq!((page.status, page.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.field("Content-Security-Policy").unwrap_or_default();
    for part in ["default-src 'none'", "script-src 'self'", "form-action 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(page.field("X-Frame-Options"), Some("DENY"));
    assert_eq!(page.field("Referrer-Policy"), Some("no-referrer"));
    assert_eq!(page.field("X-Content-Type-Options"), Some("nosniff"));
    let etag = page.field("ETag").unwrap_or_default();
    let again = call_at(address, ("GET", "/console/index.html"), &[("If-None-Match", etag)], "");
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    let script = call_at(address, ("GET", "/console/main.js"), &[], "");
    assert_eq!(script.field("Content-Type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(call(&ringway, "GET", "/console/", "").text, page.text);
    assert!(page.text.contains("</html>"));
    assert_eq!((page.field("Content-Encoding"), page.field("Vary")), (None, Some("Accept-Encoding")));
    let packed = call_at(address, ("HEAD", "/console/"), &[("Accept-Encoding", "br, gzip")], "");
    assert_eq!((packed.status, packed.field("Content-Encoding")), (200, Some("gzip")));
}

#[test]
fn there_is_one_way_in_and_nothing_but_the_console_behind_it() {
    let ringway = start();
    let address = admin_address(&ringway);
    let told = call_at(address, ("GET", "/console"), &[], "");
    assert_eq!((told.status, told.field("Location")), (308, Some("/console/")));
    assert!(call_at(address, ("GET", "/"), &[], "").text.contains("/console/"));
    for nothing in
        ["/console/nothing.js", "/console/../Cargo.toml", "/console/%2e%2e/mod.rs", "/console/index.html/"]
    {
        assert_eq!(call_at(address, ("GET", nothing), &[], "").status, 404, "{nothing}");
    }
    assert_eq!(call_at(address, ("POST", "/console/"), &[], "{}").status, 405);
    // A page of another host is refused before anything is looked for.
    let origin = [("Origin", "http://rebound.example")];
    assert_eq!(call_at(address, ("GET", "/console/"), &origin, "").status, 403);
}
