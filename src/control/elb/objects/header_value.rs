//! What a forwarding policy writes into a header.

use serde_json::Value as Json;
use serde_json::json;

use crate::control::elb::object::ElbObject;

/// Values that the API has names for, and those of Ringway.
const SYSTEM: [(&str, &str); 18] = [
    ("CLIENT-PORT", "client_port"),
    ("CLIENT-IP", "client_ip"),
    ("ELB-PROTOCOL", "protocol"),
    ("ELB-PORT", "listener_port"),
    ("TLS-PROTOCOL", "tls_protocol"),
    ("TLS-CIPHER", "tls_cipher"),
    ("CLIENTCERT-SUBJECTDN", "clientcert_subjectdn"),
    ("CLIENTCERT-ISSUERDN", "clientcert_issuerdn"),
    ("CLIENTCERT-FINGERPRINT", "clientcert_fingerprint"),
    ("CLIENTCERT-CLIENTVERIFY", "clientcert_clientverify"),
    ("CLIENTCERT-SERIALNUMBER", "clientcert_serialnumber"),
    ("CLIENTCERT", "clientcert"),
    ("CLIENTCERT-CIPHERS", "clientcert_ciphers"),
    ("CLIENTCERT-END", "clientcert_end"),
    ("TLS-ALPN-PROTOCOL", "tls_alpn_protocol"),
    ("TLS-SNI", "tls_sni"),
    ("TLS-JA3", "tls_ja3"),
    ("TLS-JA4", "tls_ja4"),
];

/// The value of a header of `insert_headers_config`, as rules have it. None: there is no such value here.
pub(in crate::control::elb) fn find(header: &Json, balancer: &ElbObject) -> Option<Json> {
    let value = header["value"].as_str()?;
    match header["value_type"].as_str()? {
        "USER_DEFINED" => Some(Json::from(value)),
        "REFERENCE_HEADER" => Some(json!({ "header": value.to_ascii_lowercase() })),
        _ => match value {
            "ELB-ID" => Some(Json::from(balancer.id.as_str())),
            // Of a load balancer with an address of its own.
            "ELB-VIP" => {
                Some(balancer.text("vip_address")).filter(|address| !address.is_empty()).map(Json::from)
            }
            _ => {
                let found = SYSTEM.iter().find(|(name, _)| *name == value)?;
                Some(json!({ "system": found.1 }))
            }
        },
    }
}
