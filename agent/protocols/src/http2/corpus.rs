//! Conversations as they are on the wire, and what they should be read as.

use super::tests::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Hpack, ONLY, OPEN, PADDED, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, data, frame, headers, hello,
};
use crate::{
    exchange::Party::{self, Client, Server},
    wire::Case,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![get(), concurrent(), framing(), continued(), resets(), going_away(), pushed(), calls(), connect()]
}

fn settings() -> (Party, Vec<u8>) {
    (Server, [frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64"), frame(SETTINGS, 1, 0, b"")].concat())
}

fn get() -> Case {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    Case {
        name: "get and again",
        script: vec![
            (Client, [hello(), headers(ONLY, 1, &c.get("/a?b=1"))].concat()),
            settings(),
            (Server, [headers(OPEN, 1, &s.status(200)), data(END_STREAM, 1, b"hello")].concat()),
            (Client, headers(ONLY, 3, &c.get("/b"))),
            (Server, headers(ONLY, 3, &s.status(302))),
            (Client, headers(ONLY, 5, &c.get("/a?b=1"))),
            (
                Server,
                [headers(OPEN, 5, &s.status(302)), data(0, 5, b"abc"), data(END_STREAM, 5, b"")].concat(),
            ),
        ],
        expect: &[
            "GET /a?b=1 0 -> 200 5 Complete 29/34",
            "GET /b 0 -> 302 0 Complete 17/15",
            "GET /a?b=1 0 -> 302 3 Complete 14/33",
        ],
    }
}

fn concurrent() -> Case {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    Case {
        name: "concurrent",
        script: vec![
            (Client, [hello(), headers(OPEN, 1, &c.post("/1")), headers(ONLY, 3, &c.get("/2"))].concat()),
            settings(),
            (
                Client,
                [data(0, 1, b"one"), headers(OPEN, 5, &c.post("/3")), data(END_STREAM, 5, b"three")].concat(),
            ),
            (
                Server,
                [headers(OPEN, 3, &s.status(200)), headers(OPEN, 5, &s.status(404)), data(0, 3, b"22")]
                    .concat(),
            ),
            (Client, data(END_STREAM, 1, b"more")),
            (
                Server,
                [data(END_STREAM, 5, b"333"), headers(OPEN, 1, &s.status(200)), data(0, 3, b"2")].concat(),
            ),
            (Server, [data(END_STREAM, 1, b"1"), data(END_STREAM, 3, b"2222")].concat()),
        ],
        expect: &[
            "POST /3 5 -> 404 3 Complete 30/24",
            "POST /1 7 -> 200 1 Complete 47/22",
            "GET /2 0 -> 200 7 Complete 19/54",
        ],
    }
}

fn framing() -> Case {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    let padded = |block: &[u8]| [&[3, 0, 0, 0, 0, 200], block, b"\0\0\0"].concat();
    let whole = 0x20 | PADDED | END_HEADERS;
    Case {
        name: "padding, priority, interim, trailers and frames to ignore",
        script: vec![
            (Client, [hello(), frame(PRIORITY, 0, 3, &[0; 5]), frame(0xfe, 0xff, 77, b"grease")].concat()),
            settings(),
            (Client, headers(whole, 1, &padded(&c.post("/p")))),
            (Client, [frame(PING, 0, 0, b"12345678"), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 1, 0])].concat()),
            (Server, [frame(PING, 1, 0, b"12345678"), headers(OPEN, 1, &s.block(&[":status=100"]))].concat()),
            (Client, [data(PADDED, 1, b"\x04body\0\0\0\0"), data(PADDED, 1, b"\0more")].concat()),
            (Client, headers(ONLY, 1, &c.block(&["checksum=1"]))),
            (Server, [headers(OPEN, 1, &s.status(200)), data(PADDED, 1, b"\x02ok\0\0")].concat()),
            (Server, headers(ONLY, 1, &s.block(&["checksum=2"]))),
        ],
        expect: &["POST /p 8 -> 200 2 Complete 84/54"],
    }
}

fn continued() -> Case {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    let (first, second) = (c.get("/long/path/with/parts"), c.get("/long/path/with/parts"));
    let answer = s.status(200);
    Case {
        name: "continuation",
        script: vec![
            (Client, hello()),
            settings(),
            (
                Client,
                [headers(END_STREAM, 1, &first[..4]), frame(CONTINUATION, 0, 1, &first[4..20])].concat(),
            ),
            (Client, frame(CONTINUATION, END_HEADERS, 1, &first[20..])),
            (Server, [headers(END_STREAM, 1, b""), frame(CONTINUATION, 0, 1, &answer[..3])].concat()),
            (Server, frame(CONTINUATION, END_HEADERS, 1, &answer[3..])),
            (Client, headers(ONLY, 3, &second)),
            (Server, headers(ONLY, 3, &s.status(500))),
        ],
        expect: &[
            "GET /long/path/with/parts 0 -> 200 0 Complete 62/38",
            "GET /long/path/with/parts 0 -> 500 0 Complete 14/12",
        ],
    }
}

fn resets() -> Case {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    Case {
        name: "resets",
        script: vec![
            (Client, [hello(), headers(ONLY, 1, &c.get("/1")), headers(OPEN, 3, &c.post("/2"))].concat()),
            settings(),
            (Server, headers(OPEN, 1, &s.status(200))),
            (Client, frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
            (Server, [data(0, 1, b"late"), frame(RST_STREAM, 0, 3, &[0, 0, 0, 7])].concat()),
            (Client, [data(0, 3, b"late"), headers(OPEN, 5, &c.post("/3")), data(0, 5, b"part")].concat()),
            (Server, headers(ONLY, 5, &s.status(404))),
            (Server, frame(RST_STREAM, 0, 5, &[0, 0, 0, 0])),
            (Client, headers(ONLY, 7, &c.get("/4"))),
            (Server, headers(ONLY, 7, &s.status(204))),
        ],
        expect: &[
            "GET /1 0 -> 200 ? Reset { by: Client, code: 8 } 38/20",
            "POST /2 ? -> - ? Reset { by: Server, code: 7 } 16/13",
            "POST /3 ? -> 404 0 Complete 29/12",
            "GET /4 0 -> 204 0 Complete 17/12",
        ],
    }
}

fn going_away() -> Case {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    Case {
        name: "going away",
        script: vec![
            (Client, [hello(), headers(ONLY, 1, &c.get("/1")), headers(ONLY, 3, &c.get("/2"))].concat()),
            settings(),
            (Server, frame(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])),
            (Server, frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0, b'b', b'y', b'e'])),
            (Server, headers(ONLY, 1, &s.status(200))),
            (Client, frame(GOAWAY, 0, 0, &[0; 8])),
        ],
        expect: &["GET /2 0 -> - ? Aborted(Finished) 17/0", "GET /1 0 -> 200 0 Complete 25/20"],
    }
}

fn pushed() -> Case {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    let promise = [&[0, 0, 0, 2], &s.get("/style")[..]].concat();
    Case {
        name: "push",
        script: vec![
            (Client, [hello(), headers(ONLY, 1, &c.get("/page"))].concat()),
            settings(),
            (Server, frame(PUSH_PROMISE, END_HEADERS, 1, &promise)),
            (Server, [headers(OPEN, 1, &s.status(200)), headers(OPEN, 2, &s.status(200))].concat()),
            (Server, [data(END_STREAM, 2, b"css"), data(END_STREAM, 1, b"html")].concat()),
        ],
        expect: &["GET /page 0 -> 200 4 Complete 28/32"],
    }
}

fn calls() -> Case {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    let message = |body: &[u8]| [&[0, 0, 0, 0, u8::try_from(body.len()).unwrap()], body].concat();
    let ok = |s: &mut Hpack| s.block(&[":status=200", "content-type=application/grpc"]);
    Case {
        name: "grpc",
        script: vec![
            (Client, [hello(), headers(OPEN, 1, &c.call("/shop.Cart/Add"))].concat()),
            settings(),
            (Client, data(END_STREAM, 1, &message(b"item"))),
            (Server, [headers(OPEN, 1, &ok(&mut s)), data(0, 1, &message(b"done"))].concat()),
            (Server, headers(ONLY, 1, &s.block(&["grpc-status=0", "grpc-message="]))),
            (
                Client,
                [headers(OPEN, 3, &c.call("/shop.Cart/Talk")), data(0, 3, &message(b"a")[..3])].concat(),
            ),
            (Client, frame(DATA, 0, 3, &[&message(b"a")[3..], &message(b""), &message(b"ccc")].concat())),
            (
                Server,
                [headers(OPEN, 3, &ok(&mut s)), data(0, 3, &message(b"x")), data(0, 3, &message(b"y"))]
                    .concat(),
            ),
            (Client, data(END_STREAM, 3, b"")),
            (Server, headers(ONLY, 3, &s.block(&["grpc-status=13", "grpc-message=internal"]))),
            (
                Client,
                [headers(OPEN, 5, &c.call("/shop.Cart/Add")), data(END_STREAM, 5, &message(b""))].concat(),
            ),
            (
                Server,
                headers(
                    ONLY,
                    5,
                    &s.block(&[":status=200", "content-type=application/grpc", "grpc-status=12"]),
                ),
            ),
        ],
        expect: &[
            "POST /shop.Cart/Add 9 -> 200 9 Complete 81/80 rpc shop.Cart/Add 0! 1/1",
            "POST /shop.Cart/Talk 19 -> 200 12 Complete 77/64 rpc shop.Cart/Talk 13! 3/2",
            "POST /shop.Cart/Add 5 -> 200 0 Complete 29/16 rpc shop.Cart/Add 12 1/0",
        ],
    }
}

fn connect() -> Case {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    Case {
        name: "connect",
        script: vec![
            (
                Client,
                [hello(), headers(OPEN, 1, &c.block(&[":method=CONNECT", ":authority=a:443"]))].concat(),
            ),
            settings(),
            (Server, headers(OPEN, 1, &s.status(200))),
            (Client, frame(DATA, 0, 1, b"tunnel")),
            (Server, frame(DATA, 0, 1, b"tunnel")),
            (Client, frame(HEADERS, ONLY, 3, &c.get("/n"))),
            (Server, frame(HEADERS, ONLY, 3, &s.status(200))),
        ],
        expect: &["CONNECT a:443 ? -> 200 0 Upgraded 24/20", "GET /n 0 -> 200 0 Complete 25/12"],
    }
}
