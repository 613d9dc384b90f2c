//! Which rules for responses can take the response to a request.

use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::message::host_for_rules;
use crate::policy::forwarded::Client;
use crate::policy::router::RoutingFacts;
use crate::policy::router::normalize::is_normal;
use crate::policy::router::normalize::normalize;
use crate::policy::router::target::host_name;
use crate::policy::router::target::split_target;
use crate::worker::Worker;

/// A bit for each rule whose conditions on the request hold.
pub(super) fn candidates(
    request: &Request<'_, '_>,
    client: &Client<'_>,
    origin: &Origin<'_>,
    worker: &Worker,
) -> u64 {
    let rules = origin.http.responses.as_ref().and_then(|policy| policy.rules.as_ref());
    let Some(rules) = rules else { return 0 };
    let Some(asked) = &rules.asked else { return u64::MAX };
    let (path, query) = split_target(request.head.target.path_and_query);
    let mut spelled = worker.scratch.borrow_mut();
    spelled.clear();
    // What has no spelling is refused where rules for requests ask for paths, and else passes as it came.
    let is_respelled = asked.normalizes && !is_normal(path) && normalize(path, &mut spelled).is_ok();
    let facts = RoutingFacts {
        host: &host_name(host_for_rules(client, origin)),
        path: if is_respelled { &spelled } else { path },
        query,
        method: request.head.method.as_bytes(),
        headers: request.head.headers,
        source: client.address,
        alpn: b"",
    };
    worker.router.borrow_mut().all(asked, &facts)
}
