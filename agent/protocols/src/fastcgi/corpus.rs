//! Conversations as they are on the wire, and what they should be read as.

use crate::{
    exchange::Party::{Client, Server},
    wire::Case,
};

/// A record (section 3.3), padded as nginx pads: to eight bytes.
pub(crate) fn record(kind: u8, request: u16, content: &[u8]) -> Vec<u8> {
    let [high, low] = request.to_be_bytes();
    let [long, short] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let padding = content.len().wrapping_neg() % 8;
    let mut bytes = vec![1, kind, high, low, long, short, u8::try_from(padding).unwrap(), 0];
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// A responder's request, kept open behind it or not.
pub(crate) fn begin(request: u16, keep: bool) -> Vec<u8> {
    record(1, request, &[0, 1, keep.into(), 0, 0, 0, 0, 0])
}

/// Names and values (section 3.4).
pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = |bytes: &mut Vec<u8>, length: usize| match u8::try_from(length) {
        Ok(short @ ..=127) => bytes.push(short),
        _ => bytes.extend((u32::try_from(length).unwrap() | 0x8000_0000).to_be_bytes()),
    };
    for (name, value) in pairs {
        length(&mut bytes, name.len());
        length(&mut bytes, value.len());
        bytes.extend([name.as_bytes(), value.as_bytes()].concat());
    }
    bytes
}

/// What nginx sends for a request without a body: begin, parameters, their end, the end of the body.
pub(crate) fn asks(request: u16, keep: bool, params: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes =
        [begin(request, keep), record(4, request, &pairs(params)), record(4, request, b"")].concat();
    if !body.is_empty() {
        bytes.extend(record(5, request, body));
    }
    bytes.extend(record(5, request, b""));
    bytes
}

/// The end of a request, with its protocol status.
pub(crate) fn end(request: u16, status: u8) -> Vec<u8> {
    record(3, request, &[0, 0, 0, 0, status, 0, 0, 0])
}

/// What php-fpm answers, in one piece.
pub(crate) fn answers(request: u16, text: &str) -> Vec<u8> {
    [record(6, request, text.as_bytes()), end(request, 0)].concat()
}

/// Of a request for this target.
pub(crate) fn get(target: &str) -> Vec<(&str, &str)> {
    vec![
        ("QUERY_STRING", target.split_once('?').map_or("", |(_, query)| query)),
        ("REQUEST_METHOD", "GET"),
        ("CONTENT_TYPE", ""),
        ("REQUEST_URI", target),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("HTTP_HOST", "shop.example"),
        ("HTTP_COOKIE", "session=secret"),
        ("PHP_AUTH_PW", "secret"),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let long = "c".repeat(200);
    let mut with_cookie = get("/a?b=c");
    with_cookie.insert(0, ("HTTP_COOKIE", &long));
    let posted: Vec<(&str, &str)> = vec![
        ("REQUEST_METHOD", "POST"),
        ("SCRIPT_NAME", "/index.php"),
        ("PATH_INFO", "/items"),
        ("QUERY_STRING", "x=1"),
        ("SERVER_PROTOCOL", "HTTP/2.0"),
        ("SERVER_NAME", "shop.example"),
        ("SERVER_PORT", "8080"),
    ];
    vec![
        Case {
            name: "one after another on a kept connection",
            script: vec![
                (Client, asks(1, true, &get("/a"), b"")),
                (Server, answers(1, "X-Powered-By: PHP/8.2\r\nContent-type: text/html\r\n\r\nhello")),
                (Client, asks(1, true, &with_cookie, b"")),
                (Server, answers(1, "Status: 404 Not Found\r\nContent-type: text/html\r\n\r\nsecret")),
                (Client, asks(1, true, &get("/moved"), b"")),
                (Server, answers(1, "Location: /b\r\n\r\n")),
            ],
            expect: &[
                "GET /a shop.example Http11 -> 200 Complete 0+200/5+80",
                "GET /a?b=c shop.example Http11 -> 404 Complete 0+424/6+80",
                "GET /moved shop.example Http11 -> 302 Complete 0+200/0+40",
            ],
        },
        Case {
            name: "a body, errors of PHP, a response in several records",
            script: vec![
                (Client, asks(1, false, &posted, b"name=secret")),
                (Server, record(7, 1, b"PHP message: secret")),
                (Server, record(6, 1, b"Status: 500 Internal Server Error\r\nX-A: b\r\n")),
                (Server, record(6, 1, b"\r\nsecret")),
                (Server, [record(6, 1, b" body"), record(6, 1, b""), record(7, 1, b""), end(1, 0)].concat()),
            ],
            expect: &["POST /index.php/items?x=1 shop.example:8080 Http2 -> 500 Complete 11+208/11+152"],
        },
        Case {
            name: "two at once",
            script: vec![
                (Client, [begin(1, true), begin(2, true), record(4, 2, &pairs(&get("/two")))].concat()),
                (Client, [record(4, 1, &pairs(&get("/one"))), record(4, 2, b""), record(4, 1, b"")].concat()),
                (Server, record(6, 1, b"Content-type: a\n\none")),
                (Server, [answers(2, "Status: 201\n\n"), record(6, 1, b"more"), end(1, 0)].concat()),
            ],
            expect: &[
                "GET /two shop.example Http11 -> 201 Complete 0+192/0+40",
                "GET /one shop.example Http11 -> 200 Complete 0+192/7+64",
            ],
        },
        Case {
            name: "one that is not taken on",
            script: vec![(Client, asks(3, true, &get("/a"), b"")), (Server, end(3, 2))],
            expect: &["GET /a shop.example Http11 -> Reset { by: Server, code: 2 } 0+200/-+16"],
        },
    ]
}
