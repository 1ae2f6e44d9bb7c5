//! Conversations as they are on the wire, and what they should be read as.

use std::io::Write;

use crate::{
    exchange::Party::{self, Client, Server},
    wire::Case,
};

/// Packets, one after the other, numbered from `first`.
pub(crate) fn packets(first: u8, bodies: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        bytes.extend(&u32::try_from(body.len()).unwrap().to_le_bytes()[..3]);
        bytes.push(first.wrapping_add(u8::try_from(index).unwrap()));
        bytes.extend(*body);
    }
    bytes
}

/// A client's command.
pub(super) fn command(number: u8, rest: &[u8]) -> Vec<u8> {
    packets(0, &[&[&[number], rest].concat()])
}

/// `COM_QUERY`.
pub(crate) fn query(text: &str) -> Vec<u8> {
    command(3, text.as_bytes())
}

/// The answer to a command.
pub(super) fn answer(bodies: &[&[u8]]) -> Vec<u8> {
    packets(1, bodies)
}

/// Packets of the compressed protocol around `content`.
pub(super) fn squeezed(sequence: u8, content: &[u8], zstd: bool) -> Vec<u8> {
    let packed = if zstd {
        zstd::encode_all(content, 3).unwrap()
    } else {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let length = u32::try_from(packed.len()).unwrap().to_le_bytes();
    let inflated = u32::try_from(content.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence], &inflated[..3], &packed].concat()
}

/// The same for what is not worth compressing.
pub(super) fn stored(sequence: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence, 0, 0, 0], content].concat()
}

pub(super) fn greeting(version: &str, capabilities: u32) -> Vec<u8> {
    let [a, b, c, d] = capabilities.to_le_bytes();
    let own: &[u8] = if version.contains("MariaDB") { b"\x1f\0\0\0" } else { b"\0\0\0\0" };
    let body = [
        &b"\x0a"[..],
        version.as_bytes(),
        b"\0\x07\0\0\0salt1234\0",
        &[a, b],
        b"\xff\x02\0",
        &[c, d],
        b"\x15\0\0\0\0\0\0",
        own,
        b"salt56789012\0mysql_native_password\0",
    ];
    packets(0, &[&body.concat()])
}

/// The client's own capabilities of MariaDB are `own`.
pub(super) fn login(sequence: u8, capabilities: u32, own: u32, database: &str) -> Vec<u8> {
    let body = [
        &capabilities.to_le_bytes()[..],
        b"\0\0\0\x01\x2d",
        &[0; 19],
        &own.to_le_bytes(),
        b"bob\0\x14secretsecretsecretse",
        database.as_bytes(),
        b"\0mysql_native_password\0",
    ];
    packets(sequence, &[&body.concat()])
}

/// `CLIENT_PROTOCOL_41`, `_CONNECT_WITH_DB`, `_SECURE_CONNECTION`, `_PLUGIN_AUTH`, `_TRANSACTIONS` and more.
pub(super) const BASE: u32 = 0x000a_a20d;
pub(super) const COMPRESS: u32 = 0x20;
pub(super) const SSL: u32 = 0x800;
pub(super) const TRACK: u32 = 0x0080_0000;
pub(super) const DEPRECATE_EOF: u32 = 0x0100_0000;
pub(super) const ZSTD: u32 = 0x0400_0000;
pub(super) const ATTRIBUTES: u32 = 0x0800_0000;

pub(super) const OK: &[u8] = b"\0\0\0\x02\0\0\0";
/// Three rows affected.
pub(super) const OK_3: &[u8] = b"\0\x03\0\x02\0\0\0";
pub(super) const OK_MORE: &[u8] = b"\0\x01\0\x0a\0\0\0";
pub(super) const EOF: &[u8] = b"\xfe\0\0\x02\0";
pub(super) const EOF_MORE: &[u8] = b"\xfe\0\0\x0a\0";
const EOF_CURSOR: &[u8] = b"\xfe\0\0\x42\0";
/// An `OK` packet in the place of an `EOF` packet.
pub(super) const OK_EOF: &[u8] = b"\xfe\0\0\x02\0\0\0";
pub(crate) const COLUMN: &[u8] = b"\x03def\x04shop\x01t\x01t\x01a\x01a\x0c\x21\0\x1e\0\0\0\xfd\0\0\0\0\0";
pub(crate) const ROW: &[u8] = b"\x06secret";
const BINARY_ROW: &[u8] = b"\0\0\x06secret";
pub(super) const DENIED: &[u8] = b"\xff\x7a\x04#42S02Table 'secret' doesn't exist";
const DUPLICATE: &[u8] = b"\xff\x26\x04#23000Duplicate entry 'secret'";
const PROGRESS: &[u8] = b"\xff\xff\xff\x01\x01\x02\0\0\0\x05stage";

pub(crate) fn opening(version: &str, capabilities: u32, own: u32) -> Vec<(Party, Vec<u8>)> {
    vec![
        (Server, greeting(version, capabilities | 0x0001_0000)),
        (Client, login(1, capabilities, own, "shop")),
        (Server, packets(2, &[b"\xfecaching_sha2_password\0salt\0"])),
        (Client, packets(3, &[b"secretsecretsecret"])),
        (Server, packets(4, &[b"\x01\x03"])),
        (Server, packets(5, &[OK])),
    ]
}

fn script(opening: Vec<(Party, Vec<u8>)>, rest: Vec<(Party, Vec<u8>)>) -> Vec<(Party, Vec<u8>)> {
    opening.into_iter().chain(rest).collect()
}

const MARIADB: &str = "5.5.5-10.11.4-MariaDB";
const MYSQL: &str = "8.0.36";

pub(crate) fn cases() -> Vec<Case> {
    let execute = |number: u8| command(0x17, &[number, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0xfd, 0, 6, b's', b'e']);
    let bulk =
        b"\x07\0\0\0\x80\0\x03\0\xfd\0\0\x01\0\0\0\0\x06secret\0\x02\0\0\0\x01\0\x03\0\0\0\0\x06secret";
    vec![
        Case {
            name: "text results, a refusal, a database is chosen",
            script: script(
                opening(MARIADB, BASE, 0),
                vec![
                    (Client, query("SELECT a FROM t")),
                    (Server, answer(&[b"\x01", COLUMN, EOF, ROW, ROW, EOF])),
                    (Client, query("DELETE FROM t")),
                    (Server, answer(&[OK_3])),
                    (Client, query("SELECT b FROM t")),
                    (Server, answer(&[DENIED])),
                    (Client, command(2, b"other")),
                    (Server, answer(&[OK])),
                    (Client, query("SELECT c FROM t")),
                    (Server, answer(&[b"\x01", COLUMN, EOF, EOF])),
                    (Client, query("USE `shop`")),
                    (Server, answer(&[OK])),
                    (Client, query("SELECT d FROM t")),
                    (Server, answer(&[PROGRESS, b"\x01", COLUMN, EOF, ROW, DUPLICATE])),
                    (Client, command(1, b"")),
                ],
            ),
            expect: &[
                "mariadb Query shop `SELECT a FROM t` -> rows 2/- Complete 20/79",
                "mariadb Query shop `DELETE FROM t` -> rows -/3 Complete 18/11",
                "mariadb Query shop `SELECT b FROM t` -> rows -/- 1146/42S02 Complete 20/41",
                "mariadb Query other `SELECT c FROM t` -> rows 0/- Complete 20/57",
                "mariadb Query other `USE `shop`` -> rows -/0 Complete 15/11",
                "mariadb Query shop `SELECT d FROM t` -> rows -/- 1062/23000 Complete 20/115",
            ],
        },
        Case {
            name: "several results, a file, tracked schemas, no EOF packets",
            script: script(
                opening(MYSQL, BASE | DEPRECATE_EOF | TRACK, 0),
                vec![
                    (Client, query("SELECT a FROM t; DELETE FROM t")),
                    (Server, answer(&[b"\x01", COLUMN, ROW, b"\xfe\0\0\x0a\0\0\0", b"\0\x02\0\x02\0\0\0"])),
                    (Client, query("LOAD DATA LOCAL INFILE 'f' INTO TABLE t")),
                    (Server, answer(&[b"\xfbf"])),
                    (Client, packets(2, &[b"secret\t1\n", b"secret\t2\n", b""])),
                    (Server, packets(5, &[OK_3])),
                    (Client, query("CALL p()")),
                    (Server, answer(&[b"\0\0\0\x02\x40\0\0\0\x07\x01\x05\x04else"])),
                    (Client, query("SELECT b FROM t")),
                    (Server, answer(&[b"\x01", COLUMN, ROW, OK_EOF])),
                ],
            ),
            expect: &[
                "Query shop `SELECT a FROM t; DELETE FROM t` -> rows 1/2 Complete 35/72",
                "Query shop `LOAD DATA LOCAL INFILE 'f' INTO TABLE t` -> rows -/3 Complete 74/17",
                "Query shop `CALL p()` -> rows -/0 Complete 13/20",
                "Query else `SELECT b FROM t` -> rows 1/- Complete 20/61",
            ],
        },
        Case {
            name: "prepared, with EOF packets, a cursor, attributes",
            script: script(
                opening(MYSQL, BASE | ATTRIBUTES, 0),
                vec![
                    (Client, query("\0\x01SELECT a FROM t")),
                    (Server, answer(&[b"\x01", COLUMN, EOF, ROW, EOF])),
                    (Client, query("\x01\x01\0\x01\x0f\0\x01n\x06secretSELECT a FROM t")),
                    (Server, answer(&[b"\x01", COLUMN, EOF, ROW, EOF])),
                    (Client, command(0x16, b"SELECT a FROM t WHERE b = ?")),
                    (Server, answer(&[b"\0\x01\0\0\0\x01\0\x01\0\0\0\0", COLUMN, EOF, COLUMN, EOF])),
                    (Client, execute(1)),
                    (Server, answer(&[b"\x01", COLUMN, EOF, BINARY_ROW, BINARY_ROW, EOF])),
                    (Client, command(0x18, b"\x01\0\0\0\0\0secret")),
                    (Client, execute(1)),
                    (Server, answer(&[b"\x01", COLUMN, EOF_CURSOR])),
                    (Client, command(0x1c, b"\x01\0\0\0\x02\0\0\0")),
                    (Server, answer(&[BINARY_ROW, BINARY_ROW, EOF_CURSOR])),
                    (Client, command(0x1a, b"\x01\0\0\0")),
                    (Server, answer(&[OK])),
                    (Client, [command(0x19, b"\x01\0\0\0"), execute(1)].concat()),
                    (Server, answer(&[b"\xff\xdb\x04#HY000Unknown statement"])),
                    (Client, command(0x0e, b"")),
                    (Server, answer(&[OK])),
                ],
            ),
            expect: &[
                "Query shop `SELECT a FROM t` -> rows 1/- Complete 22/68",
                "Query shop `SELECT a FROM t` -> rows 1/- Complete 35/68",
                "Prepare shop `SELECT a FROM t WHERE b = ?` -> rows -/- Complete 32/102",
                "Execute shop `SELECT a FROM t WHERE b = ?` known -> rows 2/- Complete 21/83",
                "Execute shop `SELECT a FROM t WHERE b = ?` known -> rows -/- Complete 21/48",
                "Execute shop ? unknown -> rows -/- 1243/HY000 Complete 21/30",
            ],
        },
        Case {
            name: "MariaDB: bulk, the last statement, descriptions left out, a change of the user",
            script: script(
                opening(MARIADB, BASE & !1 | DEPRECATE_EOF, 0x1c),
                vec![
                    (Client, command(0x16, b"INSERT INTO t VALUES (?, ?)")),
                    (Server, answer(&[b"\0\x07\0\0\0\0\0\x02\0\0\0\0", COLUMN, COLUMN])),
                    (Client, command(0xfa, bulk)),
                    (Server, answer(&[OK_3])),
                    (
                        Client,
                        [
                            command(0x16, b"SELECT a FROM t"),
                            command(0x17, b"\xff\xff\xff\xff\0\x01\0\0\0"),
                            query("SELECT b FROM t"),
                        ]
                        .concat(),
                    ),
                    (
                        Server,
                        [
                            answer(&[b"\0\x08\0\0\0\x01\0\0\0\0\0\0", COLUMN]),
                            answer(&[b"\x01\0", BINARY_ROW, OK_EOF]),
                            answer(&[b"\x01\x01", COLUMN, ROW, ROW, OK_EOF]),
                        ]
                        .concat(),
                    ),
                    (
                        Client,
                        [command(0x16, b"SELECT c FROM x"), command(0x17, b"\xff\xff\xff\xff\0\x01\0\0\0")]
                            .concat(),
                    ),
                    (Server, [answer(&[DENIED]), answer(&[b"\xff\xdb\x04#HY000Unknown"])].concat()),
                    (Client, command(0x11, b"eve\0\x14secretsecretsecretseother\0!\0")),
                    (Server, answer(&[b"\xfemysql_native_password\0salt\0"])),
                    (Client, packets(2, &[b"secret"])),
                    (Server, packets(3, &[OK])),
                    (Client, query("SELECT d FROM t")),
                    (Server, answer(&[OK_3])),
                ],
            ),
            expect: &[
                "mariadb Prepare shop `INSERT INTO t VALUES (?, ?)` -> rows -/- Complete 32/84",
                "mariadb Execute shop `INSERT INTO t VALUES (?, ?)` known -> rows -/3 batch 3 Complete 47/11",
                "mariadb Prepare shop `SELECT a FROM t` -> rows -/- Complete 20/50",
                "mariadb Execute shop `SELECT a FROM t` known -> rows 1/- Complete 14/30",
                "mariadb Query shop `SELECT b FROM t` -> rows 2/- Complete 20/73",
                "mariadb Prepare shop `SELECT c FROM x` -> rows -/- 1146/42S02 Complete 20/41",
                "mariadb Execute shop `SELECT c FROM x` known -> rows -/- skipped Complete 14/20",
                "mariadb Query other `SELECT d FROM t` -> rows -/3 Complete 20/11",
            ],
        },
        Case {
            name: "compressed by zlib",
            script: script(
                opening(MARIADB, BASE | COMPRESS | DEPRECATE_EOF, 0),
                vec![
                    (Client, stored(0, &query("SELECT a FROM t"))),
                    (Server, squeezed(1, &answer(&[b"\x01", COLUMN, ROW, ROW, ROW, OK_EOF]), false)),
                    (Client, squeezed(0, &query("SELECT b FROM t WHERE c = 'secret secret secret'"), false)),
                    (Server, stored(1, &answer(&[DENIED]))),
                ],
            ),
            expect: &[
                "mariadb Query shop `SELECT a FROM t` -> rows 3/- Complete 20/83",
                "mariadb Query shop `SELECT b FROM t WHERE c = 'secret secret secret'` -> rows -/- 1146/42S02 Complete 53/41",
            ],
        },
        Case {
            name: "compressed by Zstandard",
            script: script(
                opening(MYSQL, BASE | ZSTD | DEPRECATE_EOF, 0),
                vec![
                    (Client, squeezed(0, &query("SELECT a FROM t WHERE c = 'secret secret secret'"), true)),
                    (Server, squeezed(1, &answer(&[b"\x01", COLUMN, ROW, ROW, ROW, OK_EOF]), true)),
                ],
            ),
            expect: &[
                "Query shop `SELECT a FROM t WHERE c = 'secret secret secret'` -> rows 3/- Complete 53/83",
            ],
        },
    ]
}
