//! The console: pages for a browser, which are part of the program and ask the management API for all they show.
//!
//! They hold nothing secret, so everybody gets them who reaches the address; what they ask for needs a token as it does
//! for anybody else. `docs/console.md` describes them.

use crate::config::embedded::EmbeddedFile;
use crate::config::embedded::embedded;
use crate::control::admin::http::request::AdminRequest;
use crate::control::admin::http::response::AdminResponse;
use crate::policy::balance::hash_key::hash;

/// Where its pages are.
const ROOT: &str = "/console/";

/// Nothing from elsewhere, nothing in line, no forms that are sent, no frames: what the API tells can be anything.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct ConsoleFile {
    /// Below [`ROOT`].
    name: &'static str,
    content_type: &'static str,
    content: EmbeddedFile,
}

macro_rules! console_file {
    ($name:literal, $content_type:expr) => {
        ConsoleFile {
            name: $name,
            content_type: $content_type,
            content: embedded!(concat!("src/control/admin/console/files/", $name)),
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

static FILES: [ConsoleFile; 21] = [
    console_file!("index.html", HTML),
    console_file!("console.css", STYLE),
    console_file!("icon.svg", IMAGE),
    console_file!("api.js", SCRIPT),
    console_file!("certificates.js", SCRIPT),
    console_file!("dom.js", SCRIPT),
    console_file!("group_form.js", SCRIPT),
    console_file!("groups.js", SCRIPT),
    console_file!("health.js", SCRIPT),
    console_file!("history.js", SCRIPT),
    console_file!("listeners.js", SCRIPT),
    console_file!("live.js", SCRIPT),
    console_file!("main.js", SCRIPT),
    console_file!("offers.js", SCRIPT),
    console_file!("maintenance.js", SCRIPT),
    console_file!("overview.js", SCRIPT),
    console_file!("protocols.js", SCRIPT),
    console_file!("rules.js", SCRIPT),
    console_file!("settings.js", SCRIPT),
    console_file!("theme.js", SCRIPT),
    console_file!("wizard.js", SCRIPT),
];

/// The answer to a request for a page; None: it is for something else.
pub(super) fn answer(request: &AdminRequest) -> Option<AdminResponse> {
    if !request.is_read() {
        return None;
    }
    if request.path == ROOT.trim_end_matches('/') {
        let words = "the console is at /console/";
        return Some(AdminResponse::text(308, words).with("Location", ROOT));
    }
    let name = match request.path.strip_prefix(ROOT)? {
        "" => "index.html",
        name => name,
    };
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Some(AdminResponse::text(404, "the console has no such file; it begins at /console/"));
    };
    let etag = format!("\"{:016x}\"", hash(file.content.compressed()));
    let takes_gzip = request
        .field("accept-encoding")
        .is_some_and(|codings| codings.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("gzip")));
    let is_known = request.field("if-none-match").is_some_and(|tags| tags.contains(&etag));
    let answer = match is_known {
        true => AdminResponse::new(304, file.content_type, ""),
        false if takes_gzip => {
            let answer = AdminResponse::new(200, file.content_type, file.content.compressed());
            answer.with("Content-Encoding", "gzip")
        }
        false => AdminResponse::new(200, file.content_type, file.content.text()),
    };
    // What is kept is asked for each time, so that an upgrade is seen at once.
    let answer = answer.with("ETag", etag).with("Cache-Control", "no-cache").with("Vary", "Accept-Encoding");
    let answer = answer.with("Content-Security-Policy", CONTENT_SECURITY_POLICY);
    let answer = answer.with("X-Frame-Options", "DENY").with("Referrer-Policy", "no-referrer");
    Some(answer.with("Cross-Origin-Opener-Policy", "same-origin"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tls_policies;
    use crate::config::tls_policies::Predefined;

    /// What a browser loads before it shows anything.
    const MAX_FIRST_VIEW_BYTES: usize = 150 << 10;

    #[test]
    fn the_console_is_small_and_asks_nobody_else() {
        let bytes: usize = FILES.iter().map(|file| file.content.text().len()).sum();
        assert!(bytes <= MAX_FIRST_VIEW_BYTES, "{bytes}");
        for file in &FILES {
            let text = file.content.text();
            assert!(text.lines().count() <= 500, "{} is long", file.name);
            for forbidden in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\""]
            {
                assert!(!text.contains(forbidden), "{} in {}", forbidden, file.name);
            }
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("src=\"http") && !elsewhere.contains("from \"http"), "{}", file.name);
        }
    }

    #[test]
    fn the_policies_on_offer_are_known_and_the_usual_one_is_first() {
        let file = FILES.iter().find(|file| file.name == "offers.js").unwrap();
        let text = file.content.text();
        let list = text.split("POLICIES = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
        let names: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        assert_eq!(names.first(), Some(&tls_policies::DEFAULT));
        for name in names {
            assert!(Predefined::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_module_that_is_imported_is_there() {
        for file in FILES.iter().filter(|file| file.content_type == SCRIPT) {
            let text = file.content.text();
            for part in text.split("from \"./").skip(1) {
                let name = part.split('"').next().unwrap();
                assert!(FILES.iter().any(|known| known.name == name), "{} imports {name}", file.name);
            }
        }
    }
}
