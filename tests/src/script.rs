//! The scripted requests that every server of [`crate::apps`] answers the same way.

use crate::client::{Body, Request};

/// `count` requests, each told apart by `n=` in its query, with the status each is answered with. Methods, paths,
/// statuses and kinds of body take turns, so that each meets each of its neighbours on a kept connection.
#[must_use]
pub fn requests(first: usize, count: usize) -> (Vec<Request>, Vec<u16>) {
    (first..first + count).map(request).unzip()
}

fn request(number: usize) -> (Request, u16) {
    let id = number % 97;
    let item = format!("/items/{id}");
    // 13 kinds: prime to the usual numbers of connections, so every connection sends every kind.
    let (method, path, body, status) = match number % 13 {
        0 | 1 => ("GET", "/ok", Body::None, 200),
        2 => ("GET", item.as_str(), Body::None, 200),
        3 => ("POST", "/items", Body::Sized(27), 201),
        4 => ("POST", "/items", Body::Chunked(2500), 201),
        5 => ("GET", "/missing", Body::None, 404),
        6 => ("HEAD", "/ok", Body::None, 200),
        7 => ("GET", "/fail", Body::None, 500),
        8 => ("GET", "/moved", Body::None, 302),
        9 => ("PUT", item.as_str(), Body::Sized(300), 200),
        10 => ("DELETE", item.as_str(), Body::None, 204),
        11 => ("GET", "/big", Body::None, 200),
        _ => ("POST", "/items", Body::Sized(20_000), 201),
    };
    let target = format!("{path}?n={number}");
    (Request { method, target, body, headers: String::new() }, status)
}
