//! Recordings of databases: no value, no password and no key in them, whoever said it, and the same exchanges as without a mask.

use super::*;

const SECRET: &[&[u8]] = &[b"cAnArY"];

/// What is sent, and by whom, in order.
type Script = Vec<(u8, Vec<u8>)>;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
}

fn bound() -> Vec<u8> {
    let length = u32::try_from(CANARY.len()).unwrap().to_be_bytes();
    message(b'B', &[&b"\0\0\0\0\0\x01"[..], &length, CANARY.as_bytes(), b"\0\0"].concat())
}

/// A row of one value.
fn row() -> Vec<u8> {
    let length = u32::try_from(CANARY.len()).unwrap().to_be_bytes();
    message(b'D', &[&b"\0\x01"[..], &length, CANARY.as_bytes()].concat())
}

/// An execution of what is bound, and its answer.
fn executed() -> Script {
    let asked = [
        message(b'P', b"\0SELECT a FROM t WHERE b = $1\0\0\0"),
        bound(),
        message(b'D', b"P\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
    ];
    let answered = [
        message(b'1', b""),
        message(b'2', b""),
        message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"),
        row(),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ];
    vec![(SENT, asked.concat()), (RECEIVED, answered.concat())]
}

fn postgres() -> Script {
    let password = [CANARY.as_bytes(), b"\0"].concat();
    let copied = [message(b'd', CANARY.as_bytes()), message(b'c', b"")].concat();
    let mut script = vec![
        (SENT, b"\0\0\0\x12\0\x03\0\0user\0bob\0\0".to_vec()),
        (RECEIVED, message(b'R', b"\0\0\0\x03")),
        (SENT, message(b'p', &password)),
        (
            RECEIVED,
            [message(b'R', b"\0\0\0\0"), message(b'K', CANARY.as_bytes()), message(b'Z', b"I")].concat(),
        ),
    ];
    script.extend(executed());
    script.extend([
        (SENT, message(b'Q', b"COPY t FROM STDIN\0")),
        (RECEIVED, message(b'G', b"\0\0\x01\0\0")),
        (SENT, copied),
        (RECEIVED, [message(b'C', b"COPY 1\0"), message(b'Z', b"I")].concat()),
    ]);
    script.extend(executed());
    script
}

fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes()[..3], &[sequence], body].concat()
}

fn mysql() -> Script {
    const OK: &[u8] = b"\0\0\0\x02\0\0\0";
    const EOF: &[u8] = b"\xfe\0\0\x02\0";
    const COLUMN: &[u8] = b"\x03def\x04shop\x01t\x01t\x01a\x01a\x0c\x21\0\x1e\0\0\0\xfd\0\0\0\0\0";
    let row = [&[u8::try_from(CANARY.len()).unwrap()], CANARY.as_bytes()].concat();
    let greeting = b"\x0a5.5.5-10.11.4-MariaDB\0\x07\0\0\0salt1234\0\x0d\xa2\xff\x02\0\x0a\0\x15\0\0\0\0\0\0\x1f\0\0\0salt56789012\0mysql_native_password\0";
    let login = [
        &b"\x0d\xa2\x0a\0\0\0\0\x01\x2d"[..],
        &[0; 23],
        b"bob\0",
        &[u8::try_from(CANARY.len()).unwrap()],
        CANARY.as_bytes(),
        b"shop\0mysql_native_password\0",
    ];
    let value = [&[u8::try_from(CANARY.len()).unwrap()], CANARY.as_bytes()].concat();
    let execute = [&b"\x17\x01\0\0\0\0\x01\0\0\0\0\x01\xfd\0"[..], &value].concat();
    vec![
        (RECEIVED, packet(0, greeting)),
        (SENT, packet(1, &login.concat())),
        (RECEIVED, packet(2, b"\xfemysql_clear_password\0")),
        (SENT, packet(3, CANARY.as_bytes())),
        (RECEIVED, packet(4, OK)),
        (SENT, packet(0, b"\x16UPDATE t SET a = ?")),
        (RECEIVED, packet(1, b"\0\x01\0\0\0\0\0\0\0\0\0\0")),
        (SENT, packet(0, &execute)),
        (RECEIVED, packet(1, OK)),
        (SENT, packet(0, &[&b"\x18\x01\0\0\0\0\0"[..], CANARY.as_bytes()].concat())),
        (SENT, packet(0, b"\x03SELECT a FROM t")),
        (
            RECEIVED,
            [packet(1, b"\x01"), packet(2, COLUMN), packet(3, EOF), packet(4, &row), packet(5, EOF)].concat(),
        ),
        (SENT, packet(0, b"\x03SELECT b FROM t")),
        (RECEIVED, packet(1, &[b"\xff\x7a\x04#42S02", CANARY.as_bytes()].concat())),
    ]
}

fn redis() -> Script {
    let command = |words: &[&str]| {
        let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        words.into_bytes()
    };
    let whole = |words: &[&str]| [format!("*{}\r\n", words.len()).as_bytes(), &command(words)].concat();
    vec![
        (SENT, whole(&["HELLO", "3", "AUTH", "bob", CANARY])),
        (RECEIVED, b"%0\r\n".to_vec()),
        (SENT, whole(&["AUTH", CANARY])),
        (RECEIVED, b"+OK\r\n".to_vec()),
        (SENT, whole(&["SET", "greeting", CANARY, "EX", "10"])),
        (RECEIVED, b"+OK\r\n".to_vec()),
        (SENT, whole(&["GET", "greeting"])),
        (RECEIVED, command(&[CANARY])),
        (SENT, whole(&["EVAL", CANARY, "0"])),
        (RECEIVED, format!("-ERR of {CANARY}\r\n").into_bytes()),
    ]
}

fn send(kernel: &mut Kernel, script: &Script, size: usize) {
    for (direction, bytes) in script {
        bytes.chunks(size).for_each(|piece| kernel.data(*direction, piece));
    }
}

#[test]
fn values_and_passwords_in_pieces_of_any_size() {
    for (script, count) in [(postgres(), 3), (mysql(), 4)] {
        for size in [1, 2, 3, 5, 7, 11, 50, usize::MAX] {
            let mut kernel = Kernel::opened(1);
            send(&mut kernel, &script, size);
            check_of(&kernel, count, SECRET);
        }
    }
}

/// Arguments that are in one piece are shown as the text of the command has them.
#[test]
fn arguments_of_commands() {
    let mut kernel = Kernel::opened(1);
    send(&mut kernel, &redis(), usize::MAX);
    let masked = check_of(&kernel, 5, SECRET);
    assert!(holds(&masked, b"$8\r\ngreeting\r\n$13\r\n*************\r\n$2\r\nEX\r\n"));
    for size in 1..20 {
        let mut kernel = Kernel::opened(1);
        send(&mut kernel, &redis(), size);
        let [masked, plain] = written(&kernel.records);
        assert_eq!(exchanges(&masked).len(), exchanges(&plain).len(), "{size}");
        assert!(!holds(&masked, CANARY.as_bytes()), "{size}");
        assert!(!said(&masked).iter().any(|said| holds(said, &CANARY.as_bytes()[..6])), "{size}");
    }
}

/// Joined in the middle, between two operations and in one.
#[test]
fn a_connection_to_a_database_of_before() {
    for from in [0, 10, 40, 60] {
        let mut kernel = Kernel::new(1);
        let script = executed();
        kernel.data(SENT, &script[0].1[from..]);
        kernel.data(RECEIVED, &script[1].1);
        for _ in 0..2 {
            send(&mut kernel, &script, usize::MAX);
        }
        let [masked, plain] = written(&kernel.records);
        assert_eq!(exchanges(&masked), exchanges(&plain), "{from}");
        assert!(!holds(&masked, b"cAnA"), "{from}");
    }
}

/// Only the first and the last bytes of an operation were captured, and others were lost.
#[test]
fn values_that_were_cut() {
    let value = CANARY.repeat(100);
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    let bind = message(b'B', &[&b"\0\0\0\0\0\x01"[..], &length, value.as_bytes(), b"\0\0"].concat());
    let script = executed();
    let statement = message(b'P', b"\0INSERT INTO t VALUES ($1)\0\0\0");
    let end = [message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    let whole = [&statement[..], &bind, &end].concat();
    let mut kernel = Kernel::opened(1);
    send(&mut kernel, &postgres(), usize::MAX);
    for captured in [statement.len() + 30, statement.len() + 3, 10] {
        kernel.cut(SENT, &whole[..captured], whole.len(), &whole[whole.len() - 16..]);
        kernel.data(RECEIVED, &script[1].1);
        send(&mut kernel, &script, usize::MAX);
    }
    kernel.offsets[0] += 30;
    send(&mut kernel, &script, usize::MAX);
    kernel.data(SENT, CANARY.as_bytes());
    send(&mut kernel, &script, usize::MAX);
    let [masked, plain] = written(&kernel.records);
    assert_eq!(exchanges(&masked), exchanges(&plain));
    assert!(!holds(&masked, b"cAnA") && !holds(&masked, b"7f3a"));
}

/// Of a large answer the first and the last bytes were captured, its end is read, and nothing of it is there.
#[test]
fn answers_that_were_cut() {
    let rows = row().repeat(500);
    let end = [message(b'C', b"SELECT 500\0"), message(b'Z', b"I")].concat();
    let answer = [&rows[..], &end].concat();
    let mut kernel = Kernel::opened(1);
    send(&mut kernel, &postgres(), usize::MAX);
    for captured in [100, 103, 111, 0] {
        kernel.data(SENT, &message(b'Q', b"SELECT a FROM t\0"));
        kernel.cut(RECEIVED, &answer[..captured], answer.len(), &answer[answer.len() - 16..]);
    }
    check_of(&kernel, 7, SECRET);
    let [masked, _] = written(&kernel.records);
    assert!(!holds(&masked, b"cAnA") && !holds(&masked, b"7f3a") && holds(&masked, b" 500\0Z"));

    let row = packet(9, &[&[u8::try_from(CANARY.len()).unwrap()], CANARY.as_bytes()].concat()).repeat(500);
    let mut kernel = Kernel::opened(1);
    send(&mut kernel, &mysql(), usize::MAX);
    let script = mysql();
    let (_, answer) = &script[script.len() - 3];
    let (begin, end) = answer.split_at(answer.len() - 9);
    let answer = [begin, &row, end].concat();
    for captured in [40, 100, 103] {
        kernel.data(SENT, &packet(0, b"\x03SELECT a FROM t"));
        kernel.cut(RECEIVED, &answer[..captured], answer.len(), &answer[answer.len() - 16..]);
    }
    check_of(&kernel, 7, SECRET);
    let [masked, _] = written(&kernel.records);
    assert!(!holds(&masked, b"cAnA") && !holds(&masked, b"7f3a"));
}

/// Inside of TLS, also as long as the session's socket is not known.
#[test]
fn a_session_with_a_database() {
    let script = postgres();
    for known in 0..script.len() {
        let mut kernel = Kernel::opened(1);
        let mut session =
            Kernel { socket: 77, flags: record::FLAG_PLAINTEXT | record::FLAG_UNBOUND, ..Kernel::default() };
        for (direction, bytes) in &script[..known] {
            session.data(*direction, bytes);
        }
        kernel.records.append(&mut session.records);
        kernel.now = session.now;
        kernel.bind(77, [0; 2]);
        (kernel.flags, kernel.offsets) = (record::FLAG_PLAINTEXT, session.offsets);
        for (direction, bytes) in &script[known..] {
            kernel.data(*direction, bytes);
        }
        check_of(&kernel, 3, SECRET);
    }
}

/// Strings in a statement are values too.
#[test]
fn strings_in_statements() {
    let text = format!("ALTER USER bob PASSWORD '{CANARY}'");
    let mut kernel = Kernel::opened(1);
    send(&mut kernel, &postgres(), usize::MAX);
    kernel.data(SENT, &message(b'Q', format!("{text}\0").as_bytes()));
    kernel.data(RECEIVED, &[message(b'C', b"ALTER ROLE\0"), message(b'Z', b"I")].concat());
    let [masked, _] = written(&kernel.records);
    assert!(!holds(&masked, b"cAnA") && !holds(&masked, b"7f3a"));
    assert!(holds(&masked, b"ALTER USER bob PASSWORD '*************'"));
}
