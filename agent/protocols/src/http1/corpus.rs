//! Exchanges as they are on the wire, and what they should be read as.

use crate::exchange::Party::{self, Client, Server};

/// A conversation in order, and its exchanges as [`super::tests::summary`] writes them.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) script: &'static [(Party, &'static [u8])],
    pub(crate) expect: &'static [&'static str],
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "get",
        script: &[
            (Client, b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        ],
        expect: &["GET /a?b=1 0 -> 200 5 Complete 47/43"],
    },
    Case {
        name: "keep-alive",
        script: &[
            (Client, b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n"),
            (Client, b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),
            (Server, b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
            (Client, b"GET /3 HTTP/1.1\r\nHost: x\r\n\r\n"),
            (Server, b"HTTP/1.1 500\r\nContent-Length: 1\r\n\r\n!"),
        ],
        expect: &[
            "GET /1 0 -> 200 0 Complete 28/37",
            "POST /2 3 -> 404 2 Complete 51/47",
            "GET /3 0 -> 500 1 Complete 28/36",
        ],
    },
    Case {
        name: "pipelined",
        script: &[
            (Client, b"GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nPOST /3 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"),
            (Client, b"GET /4 HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"),
            (Server, b"HTTP/1.1 201 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n"),
            (Server, b"HTTP/1.1 204 No Content\r\n\r\n"),
        ],
        expect: &[
            "GET /1 0 -> 200 2 Complete 19/40",
            "HEAD /2 0 -> 201 0 Complete 20/38",
            "POST /3 1 -> 202 0 Complete 40/38",
            "GET /4 0 -> 204 0 Complete 19/27",
        ],
    },
    Case {
        name: "chunked both ways",
        script: &[
            (Client, b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nGET \r\n2\r\n/ \r\n0\r\nTrailer: v\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n1b\r\nHTTP/1.1 500 no\r\n\r\nbody...\n\r\n0\r\n\r\n"),
            (Client, b"GET /n HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
        ],
        expect: &["PUT /c 6 -> 200 27 Complete 84/85", "GET /n 0 -> 304 0 Complete 19/50"],
    },
    Case {
        name: "expect continue",
        script: &[
            (Client, b"POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
            (Server, b"HTTP/1.1 100 Continue\r\n\r\n"),
            (Client, b"body"),
            (Server, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"GET /n HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        expect: &["POST /e 4 -> 201 0 Complete 65/43", "GET /n 0 -> 200 0 Complete 19/38"],
    },
    Case {
        name: "expectation refused, body not sent",
        script: &[
            (Client, b"POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 400\r\n\r\n"),
            (Server, b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"GET /n HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        expect: &["POST /e ? -> 401 0 Complete 63/38", "GET /n 0 -> 200 0 Complete 19/38"],
    },
    Case {
        name: "until close",
        script: &[
            (Client, b"GET / HTTP/1.0\r\n\r\n"),
            (Server, b"HTTP/1.0 200 OK\r\nServer: y\r\n\r\nHTTP/1.1 404 body until the end"),
        ],
        expect: &["GET / 0 -> 200 31 Complete 18/61"],
    },
    Case {
        name: "bare line feeds, empty lines, folds",
        script: &[
            (Client, b"\r\n\r\nGET /lf HTTP/1.1\nHost: x\nX: a\n b\nContent-Length:\n 2\n\nzz"),
            (Server, b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 999\n\n2\nok\n0\n\n"),
            (Client, b"\nGET /lf2 HTTP/1.1\n\n"),
            (Server, b"HTTP/1.1 204 OK\n\n"),
        ],
        expect: &["GET /lf 2 -> 200 2 Complete 55/72", "GET /lf2 0 -> 204 0 Complete 19/17"],
    },
    Case {
        name: "upgrade",
        script: &[
            (Client, b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            (Server, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05HTTP/"),
            (Client, b"GET /not HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\n\r\n"),
        ],
        expect: &["GET /ws 0 -> 101 0 Upgraded 61/56"],
    },
    Case {
        name: "connect refused, then accepted",
        script: &[
            (Client, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
            (Server, b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno"),
            (Client, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01GET / HTTP/1.1\r\n\r\n"),
            (Client, b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n"),
        ],
        expect: &["CONNECT a:443 ? -> 407 2 Complete 39/40", "CONNECT a:443 ? -> 200 0 Upgraded 39/19"],
    },
    Case {
        name: "a body that looks like messages",
        script: &[
            (Client, b"POST /b HTTP/1.1\r\nContent-Length: 19\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\nHTTP/1.1 500 OK\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"OPTIONS * HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        expect: &["POST /b 19 -> 200 38 Complete 59/77", "OPTIONS * 0 -> 200 0 Complete 22/38"],
    },
    Case {
        name: "unknown method, absolute form",
        script: &[
            (Client, b"GET http://h:80/p HTTP/1.1\r\nHost:h\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\nContent-Length: 1\r\n\r\nx"),
            (Client, b"FROB /p HTTP/1.1\r\n\r\n"),
            (Server, b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"),
        ],
        expect: &["GET http://h:80/p 0 -> 200 1 Complete 38/61", "FROB /p 0 -> 405 0 Complete 20/38"],
    },
];
