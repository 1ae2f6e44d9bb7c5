//! What is said in the conversations of the corpora, masked: no secret is left, and the same is read.

use super::*;
use crate::{
    exchange::Party,
    wire::{Case, Told, Wire},
};

/// What is said in a conversation that is cut into pieces, masked; and the exchanges it is read as.
fn played<C: Told>(protocol: Protocol, case: &Case, size: usize, masks: bool) -> ([Vec<u8>; 2], Vec<String>) {
    let (mut wire, mut plain) = (Wire::<C>::opened(), Wire::new(C::noting()));
    let mut said = [Vec::new(), Vec::new()];
    let mut mask = Mask::new(protocol).unwrap();
    for (from, bytes) in &case.script {
        let side = usize::from(*from == Party::Server);
        for piece in bytes.chunks(size) {
            let mut shown = piece.to_vec();
            if masks {
                plain.send(*from, piece);
                mask.note(&plain.connection.take_notes());
                mask.hide(*from, wire.offsets[side], &mut shown, true);
                mask.settle();
            }
            wire.send(*from, &shown);
            said[side].extend(shown);
        }
    }
    wire.close();
    // Exchanges have statements as they were sent.
    let told = wire.exchanges.iter().map(|exchange| exchange.replace("'f'", "'*'")).collect();
    (said, told)
}

/// `but`: those of which not all is read, and why.
fn check<C: Told>(protocol: Protocol, cases: &[Case], sizes: &[usize], but: &[&str]) {
    for case in cases {
        let whole = played::<C>(protocol, case, usize::MAX, true).0;
        for &size in sizes {
            let what = format!("{} in pieces of {size}", case.name);
            let (plain, expect) = played::<C>(protocol, case, size, false);
            let (masked, found) = played::<C>(protocol, case, size, true);
            for side in 0..2 {
                let (masked, plain, whole) = (&masked[side], &plain[side], &whole[side]);
                assert_eq!(masked.len(), plain.len(), "{what}");
                assert!(!holds(masked, b"secret"), "{what}: {}", masked.escape_ascii());
                assert!(masked == whole, "{what}: {}\n{}", masked.escape_ascii(), whole.escape_ascii());
            }
            if !but.contains(&case.name) {
                assert_eq!(found, expect, "{what}");
            }
        }
    }
    for side in 0..2 {
        assert!(cases.iter().any(|case| holds(&played::<C>(protocol, case, 9, false).0[side], b"secret")));
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

const SIZES: [usize; 7] = [1, 2, 3, 5, 7, 16, usize::MAX];

#[test]
fn nothing_secret_is_left_and_the_same_is_read() {
    check::<postgres::Connection>(Protocol::Postgres, &postgres::corpus::cases(), &SIZES, &[]);
    // What is in a command of one line is hidden without a look at it.
    check::<redis::Connection>(Protocol::Redis, &redis::corpus::cases(), &[usize::MAX], &[INLINE]);
    let mut cases = mysql::corpus::cases();
    cases.retain(|case| !case.name.starts_with("compressed"));
    check::<mysql::Connection>(Protocol::MySql, &cases, &SIZES, &UNSEEN_LENGTHS);
}

/// Of a file that is sent nothing is captured.
#[test]
fn operations_without_bytes_begin_nothing() {
    for protocol in [Protocol::Postgres, Protocol::MySql, Protocol::Redis, Protocol::Memcached] {
        for from in [Party::Client, Party::Server] {
            let mut mask = Mask::new(protocol).unwrap();
            mask.hide(from, 7, &mut [], true);
            let mut bytes = *b"\0secret";
            mask.hide(from, 9, &mut bytes, false);
            assert!(!holds(&bytes, b"secret"), "{protocol:?}: {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn values_that_are_stored_are_hidden() {
    let sent = b"set a 0 0 6\r\nsecret\r\nget a b\r\nms c 6 T9\r\nsecret\r\nmg c v\r\n";
    let expect = b"set a 0 0 6\r\n******\r\nget a b\r\nms c 6 T9\r\n******\r\nmg c v\r\n";
    for split in 0..=sent.len() {
        let (mut bytes, mut mask) = (sent.to_vec(), Mask::new(Protocol::Memcached).unwrap());
        let (first, second) = bytes.split_at_mut(split);
        mask.hide(Party::Client, 0, first, true);
        mask.hide(Party::Client, split as u64, second, true);
        assert_eq!(bytes.escape_ascii().to_string(), expect.escape_ascii().to_string());
    }
}

/// How an operation is captured.
#[derive(Clone, Copy, Debug)]
enum Captured {
    Whole,
    /// The first bytes, and the last.
    Cut(usize),
    Lost,
}

/// A conversation of which one operation is not seen as a whole; what is seen is masked, and how it is read.
fn holed<C: Told>(
    protocol: Protocol,
    case: &Case,
    hole: (usize, Captured),
    masks: bool,
) -> ([Vec<u8>; 2], Vec<String>) {
    const TAIL: usize = 16;
    let (mut wire, mut plain) = (Wire::<C>::opened(), Wire::new(C::noting()));
    let mut said = [Vec::new(), Vec::new()];
    let mut mask = Mask::new(protocol).unwrap();
    for (index, (from, bytes)) in case.script.iter().enumerate() {
        let side = usize::from(*from == Party::Server);
        let captured = if index == hole.0 { hole.1 } else { Captured::Whole };
        let head = match captured {
            Captured::Whole => bytes.len(),
            Captured::Cut(head) => head.min(bytes.len()),
            Captured::Lost => {
                for wire in [&mut wire, &mut plain] {
                    wire.lose(*from, bytes.len() as u64);
                }
                continue;
            }
        };
        let tail = TAIL.min(bytes.len() - head);
        let (head, rest) = bytes.split_at(head);
        let (gap, tail) = rest.split_at(rest.len() - tail);
        let (mut shown, mut shown_tail) = (head.to_vec(), tail.to_vec());
        let send = |wire: &mut Wire<C>, head: &[u8], tail: &[u8]| match rest.len() {
            0 => wire.send(*from, head),
            _ => wire.send_cut(*from, head, gap.len() as u64, tail),
        };
        if masks {
            send(&mut plain, head, tail);
            mask.note(&plain.connection.take_notes());
            let offset = wire.offsets[side];
            mask.hide(*from, offset, &mut shown, true);
            mask.hide(*from, offset + (head.len() + gap.len()) as u64, &mut shown_tail, false);
            mask.settle();
        }
        send(&mut wire, &shown, &shown_tail);
        said[side].extend([shown, shown_tail].concat());
    }
    wire.close();
    (said, wire.exchanges.iter().map(|exchange| exchange.replace("'f'", "'*'")).collect())
}

fn check_holed<C: Told>(protocol: Protocol, cases: &[Case], but: &[&str]) {
    for case in cases {
        for (index, (from, bytes)) in case.script.iter().enumerate() {
            let cuts = (0..bytes.len()).map(Captured::Cut);
            for captured in cuts.chain([Captured::Lost]) {
                let hole = (index, captured);
                let (_, expect) = holed::<C>(protocol, case, hole, false);
                let (masked, found) = holed::<C>(protocol, case, hole, true);
                for masked in masked {
                    for part in [&b"secr"[..], b"cret"] {
                        assert!(!holds(&masked, part), "{} {hole:?}: {}", case.name, masked.escape_ascii());
                    }
                }
                // Of Redis' arguments those that came in pieces are hidden.
                let pieces = protocol == Protocol::Redis && *from == Party::Client && index == hole.0;
                if !pieces && !but.contains(&case.name) {
                    assert_eq!(found, expect, "{} {hole:?}", case.name);
                }
            }
        }
    }
}

#[test]
fn nothing_secret_is_left_where_an_operation_was_not_seen() {
    check_holed::<postgres::Connection>(Protocol::Postgres, &postgres::corpus::cases(), &[]);
    check_holed::<redis::Connection>(Protocol::Redis, &redis::corpus::cases(), &[INLINE]);
    let mut cases = mysql::corpus::cases();
    cases.retain(|case| !case.name.starts_with("compressed"));
    check_holed::<mysql::Connection>(Protocol::MySql, &cases, &UNSEEN_LENGTHS);
}

/// Of a server's bytes the same is shown, however they come.
#[test]
fn answers_in_pieces() {
    fn shown(protocol: Protocol, case: &Case, size: usize) -> Vec<u8> {
        let (mut mask, mut said) = (Mask::new(protocol).unwrap(), Vec::new());
        for (_, bytes) in case.script.iter().filter(|(from, _)| *from == Party::Server) {
            for piece in bytes.chunks(size) {
                let (offset, mut piece) = (said.len() as u64, piece.to_vec());
                mask.hide(Party::Server, offset, &mut piece, true);
                said.extend(piece);
            }
        }
        said
    }
    for case in redis::corpus::cases() {
        let whole = shown(Protocol::Redis, &case, usize::MAX);
        for size in SIZES {
            let pieces = shown(Protocol::Redis, &case, size);
            assert!(pieces == whole, "{} {size}: {}", case.name, pieces.escape_ascii());
            assert!(!holds(&pieces, b"secr"), "{} {size}: {}", case.name, pieces.escape_ascii());
        }
    }
}

/// What a server says from its first byte on, and what is shown of it.
#[track_caller]
fn check_answers(protocol: Protocol, said: &[u8], expect: &[u8]) {
    for split in 0..=said.len() {
        let (mut bytes, mut mask) = (said.to_vec(), Mask::new(protocol).unwrap());
        let (first, second) = bytes.split_at_mut(split);
        mask.hide(Party::Server, 0, first, true);
        mask.hide(Party::Server, split as u64, second, true);
        assert_eq!(bytes.escape_ascii().to_string(), expect.escape_ascii().to_string(), "{split}");
    }
}

#[test]
fn answers_of_postgres() {
    use postgres::corpus::messages;
    let plain: [(u8, &[u8]); 12] = [
        (b'R', b"\0\0\0\x05salt"),
        (b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"),
        (b'S', b"server_version\x0015.4\0"),
        (b'S', b"session_authorization\0bob\0"),
        (b'K', b"\0\0\0\x01\x02\x03\x04\x05"),
        (b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"),
        (b'D', b"\0\x01\0\0\0\x06secret"),
        (b'd', b"secret\n"),
        (b'C', b"INSERT 0 12\0"),
        (b'E', b"SERROR\0VERROR\0C23505\0Mduplicate key\0DKey (a)=(secret) exists.\0\0"),
        (b'A', b"\0\0\0\x01news\0secret\0"),
        (b'Z', b"I"),
    ];
    let shown: [(u8, &[u8]); 12] = [
        (b'R', b"\0\0\0\x05****"),
        (b'R', b"\0\0\0\x0a***************"),
        (b'S', b"server_version\x0015.4\0"),
        (b'S', b"session_authorization\0***\0"),
        (b'K', b"********"),
        (b'T', b"\0\x01********************"),
        (b'D', b"\0\x01**********"),
        (b'd', b"*******"),
        (b'C', b"INSERT 0 12\0"),
        (b'E', b"SERROR\0VERROR\0C23505\0M*************\0D************************\0\0"),
        (b'A', b"****************"),
        (b'Z', b"I"),
    ];
    check_answers(Protocol::Postgres, &messages(&plain), &messages(&shown));
}

#[test]
fn answers_of_redis() {
    check_answers(
        Protocol::Redis,
        b"+OK\r\n$6\r\nsecret\r\n-WRONGTYPE of secret\r\n:-42\r\n*3\r\n$2\r\nab\r\n$-1\r\n*1\r\n,1.5\r\n+1.5 \"secret\"\r\n\
          >3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$6\r\nsecret\r\n\
          |1\r\n+ttl\r\n:3\r\n$?\r\n;6\r\nsecret\r\n;0\r\n!10\r\nERR secret\r\n-Secret\r\n=10\r\ntxt:secret\r\n#t\r\n_\r\n",
        b"+OK\r\n$6\r\n******\r\n-WRONGTYPE *********\r\n:-00\r\n*3\r\n$2\r\n**\r\n$-1\r\n*1\r\n,***\r\n+0***********\r\n\
          >3\r\n$11\r\nunsubscribe\r\n$4\r\n****\r\n:0\r\n>3\r\n$7\r\nmessage\r\n$4\r\n****\r\n$6\r\n******\r\n\
          |1\r\n+***\r\n:0\r\n$?\r\n;6\r\n******\r\n;0\r\n!10\r\nERR ******\r\n-S*****\r\n=10\r\n**********\r\n#t\r\n_\r\n",
    );
}

#[test]
fn answers_of_memcached() {
    check_answers(
        Protocol::Memcached,
        b"VALUE a 0 6 7\r\nsecret\r\nEND\r\nVA 6 kb O1\r\nsecret\r\n42\r\nSTAT pid secret\r\nSERVER_ERROR secret\r\nSTORED\r\n\
          SECRET secret\r\n",
        b"VALUE a 0 6 7\r\n******\r\nEND\r\nVA 6 kb O1\r\n******\r\n00\r\nSTAT *** ******\r\nSERVER_ERROR ******\r\nSTORED\r\n\
          SE**** ******\r\n",
    );
}

/// An `OK` packet tells what became of the session, and with it its database; of rows nothing is shown.
#[test]
fn answers_of_mysql() {
    use mysql::corpus::{COLUMN, ROW, packets, query};
    type Bodies<'a> = &'a [&'a [u8]];
    let column = [&[3], &[HIDDEN; 64][1..COLUMN.len()]].concat();
    let cases: [(&str, Bodies<'_>, Bodies<'_>); 4] = [
        (
            "USE shop",
            &[b"\0\xfc\x2c\x01\x2a\x02\x40\0\0\x06secret\x11\x01\x05\x04shop\0\x08\x02ab\x04secr"],
            &[b"\0\xfc\x2c\x01*\x02\x40\0\0\x06******\x11\x01\x05\x04shop\0\x08********"],
        ),
        ("INSERT", &[b"\0\x01\xfd\x01\x02\x03\x02\0\0\0secret"], &[b"\0\x01\xfd***\x02\0\0\0******"]),
        (
            "SELECT 'secret'",
            &[b"\x01", COLUMN, b"\xfe\0\0\x02\0", ROW, b"\0", b"\xfb", b"\x01s", b"\xfe\0\0\x02\0"],
            &[
                b"\x01",
                &column,
                b"\xfe\0\0\x02\0",
                b"\x06******",
                b"\0",
                b"\xfb",
                b"\x01*",
                b"\xfe\0\0\x02\0",
            ],
        ),
        ("SELECT", &[b"\xff\x7a\x04#42S02no 'secret'"], &[b"\xff\x7a\x04#42S02***********"]),
    ];
    for (statement, said, expect) in cases {
        let (said, expect) = (packets(1, said), packets(1, expect));
        for split in 0..=said.len() {
            let mut wire = Wire::new(<mysql::Connection as Told>::noting());
            let mut mask = Mask::new(Protocol::MySql).unwrap();
            for (from, bytes) in &mysql::corpus::opening("8.0.30", 0x0080_a20d, 0) {
                let offset = wire.offsets[usize::from(*from == Party::Server)];
                wire.send(*from, bytes);
                mask.note(&wire.connection.take_notes());
                mask.hide(*from, offset, &mut bytes.clone(), true);
            }
            wire.send(Party::Client, &query(statement));
            let (mut bytes, mut offset) = (said.clone(), wire.offsets[1]);
            let (first, second) = bytes.split_at_mut(split);
            for piece in [first, second] {
                wire.send(Party::Server, piece);
                mask.note(&wire.connection.take_notes());
                mask.hide(Party::Server, offset, piece, true);
                offset += piece.len() as u64;
            }
            assert_eq!(
                bytes.escape_ascii().to_string(),
                expect.escape_ascii().to_string(),
                "{statement} {split}"
            );
        }
    }
}

/// Whether a backslash takes the meaning of a quote is the session's matter: by the last status, and as long as that is not
/// certain a string of either reading is hidden.
#[test]
fn strings_of_mysql_in_both_modes() {
    use mysql::corpus::{packets, query};
    const OK: &[u8] = b"\0\0\0\x02\0\0\0";
    const OK_LITERAL: &[u8] = b"\0\0\0\x02\x02\0\0";
    let opening = mysql::corpus::opening("8.0.30", 0x0080_a20d, 0);
    let check = |script: &[(&str, Option<&[u8]>, &str)]| {
        let mut wire = Wire::new(<mysql::Connection as Told>::noting());
        let mut mask = Mask::new(Protocol::MySql).unwrap();
        let mut say = |from, bytes: &[u8]| {
            let (mut shown, offset) = (bytes.to_vec(), wire.offsets[usize::from(from == Party::Server)]);
            wire.send(from, bytes);
            mask.note(&wire.connection.take_notes());
            mask.hide(from, offset, &mut shown, true);
            mask.settle();
            shown
        };
        for (from, bytes) in &opening {
            say(*from, bytes);
        }
        for (statement, answer, expect) in script {
            let shown = say(Party::Client, &query(statement));
            assert_eq!(String::from_utf8_lossy(&shown[5..]), *expect);
            if let Some(answer) = answer {
                say(Party::Server, &packets(1, &[answer]));
            }
        }
    };
    let ambiguous = r"SELECT 'a\', 'secret', b";
    // There it is a name.
    let escapes = r"SELECT '*\'* 'secret'* *";
    let literal = r"SELECT '*\', '******', b";
    let either = r"SELECT '*\'* '******'* *";
    let set = "SET sql_mode='NO_BACKSLASH_ESCAPES'";
    let set_shown = "SET sql_mode='********************'";
    let open = r"SELECT 'it\'s', b, 'c'";
    let open_shown = r"SELECT '**\'*', b, '*'";
    check(&[(open, Some(OK), open_shown), (ambiguous, Some(OK), escapes)]);
    check(&[
        (set, Some(OK_LITERAL), set_shown),
        (ambiguous, Some(OK_LITERAL), literal),
        (ambiguous, None, literal),
    ]);
    // The answer is not there yet.
    check(&[(set, None, set_shown), (ambiguous, Some(OK), either)]);
    // It changes in the middle.
    check(&[(&format!("{set};{ambiguous}"), Some(OK), &format!("{set_shown};{either}"))]);
}

const INLINE: &str = "blocking, silent and inline commands";
/// Attributes are values whose lengths are among them, and so are the rows of a batch.
const UNSEEN_LENGTHS: [&str; 2] = [
    "prepared, with EOF packets, a cursor, attributes",
    "MariaDB: bulk, the last statement, descriptions left out, a change of the user",
];
