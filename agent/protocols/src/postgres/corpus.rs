//! Conversations as they are on the wire, and what they should be read as.

use crate::{
    exchange::Party::{Client, Server},
    wire::Case,
};

/// Messages, one after the other: a type and a body each.
pub(crate) fn messages(messages: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &(kind, body) in messages {
        bytes.push(kind);
        bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend(body);
    }
    bytes
}

/// A packet that opens a connection.
pub(super) fn packet(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

pub(super) const READY: (u8, &[u8]) = (b'Z', b"I");
pub(super) const SYNC: (u8, &[u8]) = (b'S', b"");
const BIND: (u8, &[u8]) = (b'B', b"\0\0\0\0\0\x01\0\0\0\x06secret\0\0");
const EXECUTE: (u8, &[u8]) = (b'E', b"\0\0\0\0\0");
const DESCRIBE: (u8, &[u8]) = (b'D', b"P\0");
const ROW: (u8, &[u8]) = (b'D', b"\0\x01\0\0\0\x07Z\0\0\0\x05IX");
const FIELDS: (u8, &[u8]) = (b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
const ERROR: (u8, &[u8]) = (b'E', b"SERROR\0VERROR\0C42P01\0Mno such relation \"secret\"\0\0");

pub(crate) fn cases() -> Vec<Case> {
    let startup = packet(b"\0\x03\0\0user\0bob\0database\0shop\0client_encoding\0UTF8\0\0");
    let welcome = messages(&[
        (b'R', b"\0\0\0\0"),
        (b'S', b"server_version\x0015.4\0"),
        (b'K', b"\0\0\0\x01\0\0\0\x02"),
        READY,
    ]);
    vec![
        Case {
            name: "encryption refused, password, query",
            script: vec![
                (Client, packet(b"\x04\xd2\x16\x2f")),
                (Server, b"N".to_vec()),
                (Client, startup.clone()),
                (Server, messages(&[(b'R', b"\0\0\0\x05salt")])),
                (Client, messages(&[(b'p', b"md5secret\0")])),
                (Server, welcome.clone()),
                (Client, messages(&[(b'Q', b"SELECT a FROM t\0")])),
                (Server, messages(&[FIELDS, ROW, ROW, (b'C', b"SELECT 2\0"), READY])),
                (Client, messages(&[(b'X', b"")])),
            ],
            expect: &["Query shop `SELECT a FROM t` -> rows 2/- Complete 21/83"],
        },
        Case {
            name: "several statements, a notice, an error, nothing",
            script: vec![
                (Client, startup.clone()),
                (Server, welcome.clone()),
                (Client, messages(&[(b'Q', b"BEGIN; DELETE FROM t\0")])),
                (
                    Server,
                    messages(&[
                        (b'C', b"BEGIN\0"),
                        (b'N', b"SNOTICE\0\0"),
                        (b'C', b"DELETE 7\0"),
                        (b'Z', b"T"),
                    ]),
                ),
                (Client, messages(&[(b'Q', b"SELECT b FROM t\0")])),
                (Server, messages(&[ERROR, (b'Z', b"E")])),
                (Client, messages(&[(b'Q', b"\0")])),
                (Server, messages(&[(b'I', b""), READY, (b'A', b"\0\0\0\x01c\0p\0")])),
            ],
            expect: &[
                "Query shop `BEGIN; DELETE FROM t` -> rows -/7 batch 2 Complete 26/31",
                "Query shop `SELECT b FROM t` -> rows -/- 42P01 Complete 21/60",
                "Query shop `` -> rows -/- Complete 6/11",
            ],
        },
        Case {
            name: "extended, pipelined",
            script: vec![
                (Client, startup.clone()),
                (Server, welcome.clone()),
                (Client, messages(&[(b'P', b"\0SELECT $1\0\0\0"), BIND, DESCRIBE, EXECUTE, SYNC])),
                (Server, messages(&[(b'1', b""), (b'2', b""), FIELDS, ROW, (b'C', b"SELECT 1\0"), READY])),
                (
                    Client,
                    messages(&[
                        (b'P', b"\0UPDATE a\0\0\0"),
                        BIND,
                        EXECUTE,
                        BIND,
                        EXECUTE,
                        SYNC,
                        (b'P', b"\0UPDATE b\0\0\0"),
                        BIND,
                        EXECUTE,
                        SYNC,
                    ]),
                ),
                (
                    Server,
                    messages(&[
                        (b'1', b""),
                        (b'2', b""),
                        (b'C', b"UPDATE 1\0"),
                        (b'2', b""),
                        (b'C', b"UPDATE 0\0"),
                        READY,
                        (b'1', b""),
                        (b'2', b""),
                        (b'C', b"UPDATE 3\0"),
                        READY,
                    ]),
                ),
            ],
            expect: &[
                "Execute shop `SELECT $1` known -> rows 1/- Complete 63/75",
                "Execute shop `UPDATE a` known -> rows -/1 Complete 50/24",
                "Execute shop `UPDATE a` known -> rows -/0 Complete 38/25",
                "Execute shop `UPDATE b` known -> rows -/3 Complete 55/30",
            ],
        },
        Case {
            name: "named statement, portal in parts, close",
            script: vec![
                (Client, startup.clone()),
                (Server, welcome.clone()),
                (Client, messages(&[(b'P', b"s\0SELECT c\0\0\0"), (b'D', b"Ss\0"), SYNC])),
                (Server, messages(&[(b'1', b""), (b't', b"\0\0"), FIELDS, READY])),
                (Client, messages(&[(b'B', b"p\0s\0\0\0\0\0\0\0"), (b'E', b"p\0\0\0\0\x01"), (b'H', b"")])),
                (Server, messages(&[(b'2', b""), ROW, (b's', b"")])),
                (Client, messages(&[(b'E', b"p\0\0\0\0\x01"), (b'C', b"Ss\0"), SYNC])),
                (Server, messages(&[ROW, (b'C', b"SELECT 1\0"), (b'3', b""), READY])),
                (Client, messages(&[(b'B', b"\0s\0\0\0\0\0\0\0"), EXECUTE, SYNC])),
                (Server, messages(&[(b'2', b""), (b'C', b"SELECT 0\0"), READY])),
            ],
            expect: &[
                "Prepare shop `SELECT c` -> rows -/- Complete 31/45",
                "Execute shop `SELECT c` known -> rows 1/- Complete 26/28",
                "Execute shop `SELECT c` known -> rows 1/- Complete 11/32",
                "Execute shop ? unknown -> rows 0/- Complete 29/25",
            ],
        },
        Case {
            name: "an error skips the rest of the pipeline",
            script: vec![
                (Client, startup.clone()),
                (Server, welcome.clone()),
                (
                    Client,
                    messages(&[
                        (b'P', b"\0UPDATE a\0\0\0"),
                        BIND,
                        EXECUTE,
                        (b'P', b"\0UPDATE b\0\0\0"),
                        BIND,
                        EXECUTE,
                        (b'P', b"\0UPDATE c\0\0\0"),
                        BIND,
                        EXECUTE,
                        SYNC,
                    ]),
                ),
                (Server, messages(&[(b'1', b""), (b'2', b""), (b'C', b"UPDATE 1\0"), ERROR, READY])),
                (Client, messages(&[(b'P', b"\0SELECT d\0\0\0"), SYNC])),
                (Server, messages(&[ERROR, READY])),
                (Client, messages(&[(b'P', b"\0COMMIT\0\0\0"), BIND, EXECUTE, SYNC])),
                (Server, messages(&[(b'1', b""), (b'2', b""), (b'C', b"COMMIT\0"), ERROR, READY])),
            ],
            expect: &[
                "Execute shop `UPDATE a` known -> rows -/1 Complete 50/24",
                "Execute shop `UPDATE b` known -> rows -/- 42P01 Complete 50/54",
                "Execute shop `UPDATE c` known -> rows -/- skipped Complete 55/0",
                "Prepare shop `SELECT d` -> rows -/- 42P01 Complete 22/54",
                "Execute shop `COMMIT` known -> rows -/- 42P01 Complete 53/76",
            ],
        },
        Case {
            name: "copy",
            script: vec![
                (Client, startup.clone()),
                (Server, welcome.clone()),
                (Client, messages(&[(b'Q', b"COPY t FROM STDIN\0")])),
                (Server, messages(&[(b'G', b"\0\0\x01\0\0")])),
                (Client, messages(&[(b'd', b"1\tQ\0\0\0\x08\n"), (b'd', b"secret\n"), (b'c', b"")])),
                (Server, messages(&[(b'C', b"COPY 2\0"), READY])),
                (Client, messages(&[(b'Q', b"COPY t TO STDOUT\0")])),
                (
                    Server,
                    messages(&[
                        (b'H', b"\0\0\x01\0\0"),
                        (b'd', b"Z\0\0\0\x05I"),
                        (b'c', b""),
                        (b'C', b"COPY 1\0"),
                        READY,
                    ]),
                ),
                (Client, messages(&[(b'F', b"\0\0\0\x01\0\0\0\0\0\0")])),
                (Server, messages(&[(b'V', b"\xff\xff\xff\xff"), READY])),
            ],
            expect: &[
                "Query shop `COPY t FROM STDIN` -> rows -/2 Complete 53/28",
                "Query shop `COPY t TO STDOUT` -> rows 1/- Complete 22/44",
                "FunctionCall shop - -> rows -/- Complete 15/15",
            ],
        },
        Case {
            name: "copy in, with a Sync ahead of its data",
            script: vec![
                (Client, startup),
                (Server, welcome),
                (Client, messages(&[(b'P', b"\0COPY t FROM STDIN\0\0\0"), BIND, EXECUTE, SYNC])),
                (Server, messages(&[(b'1', b""), (b'2', b""), (b'G', b"\0\0\x01\0\0")])),
                (Client, messages(&[(b'd', b"secret\n"), (b'd', b"S\0\0\0\x04")])),
                (Client, messages(&[(b'd', b"secret\n"), (b'c', b""), SYNC])),
                (Server, messages(&[(b'C', b"COPY 3\0"), READY])),
                (Client, messages(&[(b'P', b"\0DELETE FROM t\0\0\0"), BIND, EXECUTE, SYNC])),
                (Server, messages(&[(b'1', b""), (b'2', b""), (b'C', b"DELETE 4\0"), READY])),
            ],
            expect: &[
                "Execute shop `COPY t FROM STDIN` known -> rows -/3 Complete 108/38",
                "Execute shop `DELETE FROM t` known -> rows -/4 Complete 60/30",
            ],
        },
    ]
}
