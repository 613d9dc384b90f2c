//! Headers of responses.

use super::*;

fn told(lines: &str, rule: &str) -> String {
    let text = format!(
        "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{lines}\n\
         [[rule]]\nname = \"r\"\nlistener = \"web\"\npriority = 1\nrespond = {{ code = 204 }}\n{rule}\n"
    );
    load_text(&text).report.to_text(false)
}

#[test]
fn what_cannot_be_edited_is_told() {
    for (lines, expected) in [
        (
            "response_headers = [{ set_header = { name = \"Content-Length\", value = \"1\" } }]",
            "it frames the content",
        ),
        ("response_headers = [{ remove_header = { name = \"connection\" } }]", "it belongs to one hop"),
        ("response_headers = [{ set_header = { name = \"a b\", value = \"1\" } }]", "is no name of a header"),
        (
            "response_headers = [{ set_header = { name = \"a\", value = \"1\\r\\nb: 2\" } }]",
            "cannot be sent as it is",
        ),
        (
            "response_headers = [{ add_header = { name = \"a\", value = \"1\" } }]",
            "unknown table `add_header`",
        ),
        (
            "response_headers = [{ set_header = { name = \"a\", value = { system = \"clientip\" } } }]",
            "\"client_ip\"",
        ),
        ("hsts = { max_age = \"180d\" }", "`hsts` has no effect"),
        ("hsts = {}", "`max_age` is missing"),
        ("hsts = { max_age = \"180d\", preload = true }", "the list of browsers wants more"),
    ] {
        let told = told(lines, "");
        assert!(told.contains(expected), "{lines}: {told}");
    }
    let many = "{ remove_response_header = { name = \"a\" } }, ".repeat(21);
    for (rule, expected) in [
        ("set_response_header = { name = \"Transfer-Encoding\", value = \"1\" }", "it frames the content"),
        ("remove_response_header = { name = \"a\", value = \"b\" }", "unknown key `value`"),
        (format!("actions = [{many}]").as_str(), "more than 20 edits"),
    ] {
        let told = told("", rule);
        assert!(told.contains(expected), "{rule}: {told}");
    }
    assert_eq!(told("response_headers = []", "remove_response_header = { name = \"server\" }"), "");
}

#[test]
fn what_rules_for_responses_cannot_do_is_told() {
    let told = |lines: &str| {
        let text = format!(
            "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
             [[rule]]\nname = \"r\"\nlistener = \"web\"\npriority = 1\n{lines}\n"
        );
        load_text(&text).report.to_text(false)
    };
    for (lines, expected) in [
        ("direction = \"response\"", "`actions` is missing"),
        ("direction = \"answer\"", "invalid value \"answer\""),
        ("direction = \"response\"\ngroup = \"app\"", "this is no action for responses"),
        (
            "direction = \"response\"\nset_header = { name = \"a\", value = \"1\" }",
            "write insert_response_header",
        ),
        ("direction = \"response\"\nstatus = 99\nrespond = {}", "neither a status nor a range"),
        ("status = 500\nrespond = {}", "add direction = \"response\""),
        ("respond = { body = \"a\", body_file = \"a.txt\" }", "keep one of `body` and `body_file`"),
        ("respond = { body_file = \"a.bin\" }", "the media type of a.bin is not known"),
        ("respond = { code = 204, body_file = \"a.txt\" }", "remove `body_file`"),
        ("respond = { content_type = \"text\", body_file = \"a.bin\" }", "is no media type"),
        (
            "respond = { body = \"\" }\nset_header = { name = \"a\", value = { system = \"tls_ja4\" } }",
            "{ system = \"tls_ja4\" } is always empty: there is no TLS on this listener",
        ),
    ] {
        let told = told(lines);
        assert!(told.contains(expected), "{lines}: {told}");
    }
    let many: String = (2..=66)
        .map(|number| {
            format!(
                "[[rule]]\nname = \"r{number}\"\nlistener = \"web\"\npriority = {number}\n\
                 direction = \"response\"\nrespond = {{}}\n"
            )
        })
        .collect();
    let told = told(&format!("direction = \"response\"\nrespond = {{}}\n{many}"));
    assert!(told.contains("more than 64 rules for responses"), "{told}");
    // Priorities of the two directions are apart.
    let pair = "respond = {}\n[[rule]]\nname = \"s\"\nlistener = \"web\"\npriority = 1\n\
        direction = \"response\"\nremove_response_header = { name = \"a\" }\n";
    let text = format!(
        "config_version = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[rule]]\nname = \"r\"\nlistener = \"web\"\npriority = 1\n{pair}"
    );
    assert_eq!(load_text(&text).report.to_text(false), "");
}
