//! Conversations as they are on the wire, and what they should be read as.

use crate::exchange::Party::{self, Client, Server};

/// A conversation in order, and its exchanges as [`super::tests::summary`] writes them.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) script: Vec<(Party, &'static [u8])>,
    pub(crate) expect: &'static [&'static str],
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "one by one",
            script: vec![
                (Client, b"set secretkey 0 60 8\r\nse\r\ncret\r\n"),
                (Server, b"STORED\r\n"),
                (Client, b"get secretkey\r\n"),
                (Server, b"VALUE secretkey 0 8\r\nse\r\ncret\r\nEND\r\n"),
                (Client, b"gets a secretkey b\r\n"),
                (Server, b"VALUE a 0 5 17\r\nEND\r\n\r\nVALUE b 1 0 18\r\n\r\nEND\r\n"),
                (Client, b"get absent\r\n"),
                (Server, b"END\r\n"),
                (Client, b"cas a 0 0 6 17\r\nsecret\r\n"),
                (Server, b"EXISTS\r\n"),
                (Client, b"incr n 5\r\n"),
                (Server, b"12  \r\n"),
                (Client, b"decr absent 5\r\n"),
                (Server, b"NOT_FOUND\r\n"),
                (Client, b"incr a 5\r\n"),
                (Server, b"CLIENT_ERROR cannot increment secret\r\n"),
                (Client, b"touch a 10\r\n"),
                (Server, b"TOUCHED\r\n"),
                (Client, b"gat 10 a\r\n"),
                (Server, b"VALUE a 0 6\r\nsecret\r\nEND\r\n"),
                (Client, b"delete a\r\n"),
                (Server, b"DELETED\r\n"),
                (Client, b"stats\r\n"),
                (Server, b"STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n"),
                (Client, b"version\r\n"),
                (Server, b"VERSION 1.6.18\r\n"),
                (Client, b"flush_all 10\r\n"),
                (Server, b"OK\r\n"),
                (Client, b"quit\r\n"),
            ],
            expect: &[
                "set `set ? ? ? ?` -> Complete 32/8",
                "get `get ?` -> Complete 15/36",
                "gets `gets ? ? ?` -> Complete 20/46",
                "get `get ?` -> Complete 12/5",
                "cas `cas ? ? ? ? ?` -> Complete 24/8",
                "incr `incr ? ?` -> Complete 10/6",
                "decr `decr ? ?` -> Complete 15/11",
                "incr `incr ? ?` -> CLIENT_ERROR Complete 10/38",
                "touch `touch ? ?` -> Complete 12/9",
                "gat `gat ? ?` -> Complete 10/26",
                "delete `delete ?` -> Complete 10/9",
                "stats `stats` -> Complete 7/32",
                "version `version` -> Complete 9/16",
                "flush_all `flush_all ?` -> Complete 14/4",
                "quit `quit` -> waits Nothing Complete 6/0",
            ],
        },
        Case {
            name: "without replies, and pipelined",
            script: vec![
                (
                    Client,
                    b"set a 0 0 6 noreply\r\nsecret\r\ndelete b noreply\r\nget a\r\nadd c 0 0 1\r\nx\r\n",
                ),
                (Server, b"VALUE a 0 6\r\nsecret\r\nEND\r\nNOT_STORED\r\n"),
            ],
            expect: &[
                "set `set ? ? ? ? noreply` -> waits Nothing Complete 29/0",
                "delete `delete ? noreply` -> waits Nothing Complete 18/0",
                "get `get ?` -> Complete 7/26",
                "add `add ? ? ? ?` -> Complete 16/12",
            ],
        },
        Case {
            name: "meta commands",
            script: vec![
                (Client, b"ms secretkey 6 T60 F0\r\nsecret\r\n"),
                (Server, b"HD\r\n"),
                (Client, b"mg secretkey v t Oopaque\r\n"),
                (Server, b"VA 6 t57 Oopaque\r\nsecret\r\n"),
                (Client, b"mg absent v\r\n"),
                (Server, b"EN\r\n"),
                (Client, b"mg a v k q\r\nmg b v k q\r\nmg c v k q\r\nmn\r\n"),
                (Server, b"VA 6 kb\r\nsecret\r\nMN\r\n"),
                (Client, b"ms a S6 q\r\nsecret\r\nmd b q\r\nma n N0 D5 v\r\n"),
                (Server, b"NS\r\nVA 1\r\n5\r\n"),
                (Client, b"md absent\r\nmn\r\n"),
                (Server, b"NF\r\nMN\r\n"),
            ],
            expect: &[
                "ms `ms ? ? T F` -> Complete 31/4",
                "mg `mg ? v t O` -> Complete 26/26",
                "mg `mg ? v` -> Complete 13/4",
                "mg `mg ? v k q` -> waits Nothing Complete 12/0",
                "mg `mg ? v k q` -> Complete 12/17",
                "mg `mg ? v k q` -> waits Nothing Complete 12/0",
                "mn `mn` -> Complete 4/4",
                "ms `ms ? S q` -> Complete 19/4",
                "md `md ? q` -> waits Nothing Complete 8/0",
                "ma `ma ? N D v` -> Complete 14/9",
                "md `md ?` -> Complete 11/4",
                "mn `mn` -> Complete 4/4",
            ],
        },
    ]
}
