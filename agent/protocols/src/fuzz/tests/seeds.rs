//! What each target begins with: the corpora of the protocols, in the form that the bodies read.

use std::path::PathBuf;

use crate::{
    exchange::Party::{self, Client, Server},
    fastcgi,
    fuzz::TARGETS,
    http1, http2, memcached, mysql, postgres, redis, wire,
};

/// The seeds of a target.
type Seeds = fn() -> Vec<Vec<u8>>;

const SEEDS: &[(&str, Seeds)] = &[
    ("detection", beginnings),
    ("fastcgi", || fastcgi::corpus::cases().iter().map(|case| script(&case.script)).collect()),
    ("hpack", header_blocks),
    ("http1", || http1::corpus::CASES.iter().map(|case| script(case.script)).collect()),
    ("http2", || http2::corpus::cases().iter().map(|case| script(&case.script)).collect()),
    ("masking", masked),
    ("memcached", || memcached::corpus::cases().iter().map(|case| script(&case.script)).collect()),
    ("mysql", || mysql::corpus::cases().iter().map(|case| script(&case.script)).collect()),
    ("postgres", || postgres::corpus::cases().iter().map(|case| script(&case.script)).collect()),
    ("redis", || redis::corpus::cases().iter().map(|case| script(&case.script)).collect()),
    ("sql", texts),
    ("statements", said_to_databases),
];

/// Each body runs over its seeds. With `HONEYGUIDE_SEEDS` they are written to a directory for each target there.
#[test]
fn every_target_runs_over_its_seeds() {
    let directory = std::env::var_os("HONEYGUIDE_SEEDS").map(PathBuf::from);
    assert_eq!(TARGETS.len(), SEEDS.len());
    for ((name, body), (seeded, seeds)) in TARGETS.iter().zip(SEEDS) {
        assert_eq!(name, seeded);
        let seeds = seeds();
        assert!(!seeds.is_empty(), "{name}");
        for (number, seed) in seeds.iter().enumerate() {
            body(seed);
            if let Some(directory) = &directory {
                std::fs::create_dir_all(directory.join(name)).unwrap();
                std::fs::write(directory.join(name).join(number.to_string()), seed).unwrap();
            }
        }
    }
}

/// A conversation as the script of a connection seen from its first byte: for each piece a control byte (bit 0 the side,
/// the upper bits the time that passes), its length, its bytes.
fn script<B: AsRef<[u8]>>(turns: &[(Party, B)]) -> Vec<u8> {
    let mut bytes = vec![1];
    for (from, said) in turns {
        for piece in said.as_ref().chunks(255) {
            let side = match from {
                Client => 0,
                Server => 1,
            };
            bytes.extend([0x10 | side, u8::try_from(piece.len()).unwrap()]);
            bytes.extend(piece);
        }
    }
    bytes
}

/// Conversations in which secrets are sent, early or later, in one piece or not.
fn masked() -> Vec<Vec<u8>> {
    let scripts: Vec<_> = http2::corpus::cases().iter().map(|case| script(&case.script)).collect();
    let with = |mode: u8| move |script: &Vec<u8>| [&[1 | mode << 2], &script[1..]].concat();
    [0, 3]
        .into_iter()
        .flat_map(|from| (0..8).map(move |how| from | how << 3))
        .flat_map(|mode| scripts.iter().map(with(mode)))
        .collect()
}

/// The first bytes of either side; the first byte says how many are the client's, which suits `G` and `P`.
fn beginnings() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for case in http1::corpus::CASES {
        seeds.extend(case.script.iter().map(|(_, bytes)| bytes.to_vec()));
    }
    for script in http2::corpus::cases()
        .into_iter()
        .map(|case| case.script)
        .chain(postgres::corpus::cases().into_iter().map(|case| case.script))
        .chain(mysql::corpus::cases().into_iter().map(|case| case.script))
        .chain(redis::corpus::cases().into_iter().map(|case| case.script))
        .chain(fastcgi::corpus::cases().into_iter().map(|case| case.script))
    {
        seeds.extend(script.into_iter().map(|(_, bytes)| bytes));
    }
    for case in memcached::corpus::cases() {
        seeds.extend(case.script.iter().map(|(_, bytes)| bytes.to_vec()));
    }
    seeds
}

/// RFC 7541, appendices C.3 and C.4, and an update of the table's size.
fn header_blocks() -> Vec<Vec<u8>> {
    let plain = b"\x14\x82\x86\x84\x41\x0fwww.example.com";
    let again = b"\x0e\x82\x86\x84\xbe\x58\x08no-cache";
    let huffman = b"\x11\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    let resized = b"\x03\x3f\xe1\x1f";
    vec![[&plain[..], again].concat(), huffman.to_vec(), [&resized[..], plain].concat()]
}

fn texts() -> Vec<Vec<u8>> {
    let statements = [
        "SELECT a, 'x''y', $1, 0xff FROM t AS u JOIN s ON t.id = s.id WHERE b IN (1, 2) -- end",
        "WITH x AS (SELECT 1) INSERT INTO \"T\".u (a) SELECT * FROM x RETURNING a;",
        "UPDATE `t` SET a = \"b\", c = 1.5e-7 /* why */ WHERE d = @e # end",
        "DO $tag$ BEGIN PERFORM 1; END $tag$; CALL p(1, E'\\n');",
        "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/ DELETE FROM t",
    ];
    let with = |control: u8| move |text: &str| [&[control][..], text.as_bytes()].concat();
    (0..3).chain([8, 0xfc]).flat_map(|control| statements.map(with(control))).collect()
}

/// Conversations with databases, seen from their first byte or not; bits 0 and 1 of the first byte are the protocol.
fn said_to_databases() -> Vec<Vec<u8>> {
    let of = |cases: Vec<wire::Case>| cases.iter().map(|case| script(&case.script)).collect();
    let memcached = memcached::corpus::cases().iter().map(|case| script(&case.script)).collect();
    let scripts: [Vec<Vec<u8>>; 4] =
        [of(postgres::corpus::cases()), of(mysql::corpus::cases()), of(redis::corpus::cases()), memcached];
    let mut seeds = Vec::new();
    for (protocol, scripts) in (0..).zip(scripts) {
        for opened in [0, 4] {
            seeds.extend(scripts.iter().map(|script| [&[protocol | opened], &script[1..]].concat()));
        }
    }
    seeds
}
