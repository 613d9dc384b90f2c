//! Futures that exist once for each connection or stream have bounds: a few words more are megabytes with
//! many clients. What makes one of them grow is worth a `Box::pin`, or the bound is raised on purpose.

use std::future::Future;

use crate::downstream::h1;
use crate::downstream::h2;
use crate::downstream::listener;

/// The size of the future that a function makes, in bytes.
fn size_of_future<A, F: Future>(_make: impl FnOnce(A) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn futures_are_no_larger_than_they_were() {
    let sizes = [
        (
            "h1::serve",
            size_of_future(|(connection, worker, input)| h1::serve(connection, worker, input)),
            3472,
        ),
        ("h2::serve", size_of_future(h2::serve), 3368),
        (
            "h2::run",
            size_of_future(|(connection, worker, input, spawner)| {
                h2::run(connection, worker, input, spawner)
            }),
            1048,
        ),
        ("listener::run", size_of_future(|(accepting, worker)| listener::run(accepting, worker)), 336),
    ];
    let grown: Vec<_> = sizes.iter().filter(|(_, size, bound)| size > bound).collect();
    assert!(grown.is_empty(), "(future, its size, the bound): {grown:?}");
}
