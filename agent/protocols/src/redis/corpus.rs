//! Conversations as they are on the wire, and what they should be read as.

use crate::{
    exchange::Party::{self, Client, Server},
    wire::Case,
};

/// A command as clients send it.
pub(super) fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

/// Commands, one after the other, words apart by blanks.
pub(super) fn pipeline(commands: &[&str]) -> Vec<u8> {
    commands.iter().flat_map(|line| command(&line.split(' ').collect::<Vec<_>>())).collect()
}

fn ask(line: &str) -> (Party, Vec<u8>) {
    (Client, pipeline(&[line]))
}

fn answer(bytes: &str) -> (Party, Vec<u8>) {
    (Server, bytes.as_bytes().to_vec())
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "one by one, values of every kind",
            script: vec![
                ask("SET greeting secret EX 10"),
                answer("+OK\r\n"),
                ask("GET greeting"),
                answer("$6\r\nsecret\r\n"),
                ask("get absent"),
                answer("$-1\r\n"),
                ask("INCR counter"),
                answer(":7\r\n"),
                ask("LRANGE list 0 -1"),
                answer("*3\r\n$6\r\nsecret\r\n$-1\r\n*2\r\n:1\r\n$0\r\n\r\n"),
                ask("LPUSH greeting secret secret"),
                answer("-WRONGTYPE Operation against a key with secret\r\n"),
            ],
            expect: &[
                "SET `SET greeting ? EX ?` 0 -> Complete 55/5",
                "GET `GET greeting` 0 -> Complete 27/12",
                "GET `GET absent` 0 -> Complete 25/5",
                "INCR `INCR counter` 0 -> Complete 27/4",
                "LRANGE `LRANGE list ? ?` 0 -> Complete 41/35",
                "LPUSH `LPUSH greeting ? ?` 0 -> WRONGTYPE Complete 53/48",
            ],
        },
        Case {
            name: "a pipeline, and the database it selects on the way",
            script: vec![
                (
                    Client,
                    pipeline(&["AUTH secret", "SELECT 3", "MSET a secret b secret", "SELECT 99", "DEL a b"]),
                ),
                answer("+OK\r\n+OK\r\n+OK\r\n-ERR DB index is out of range\r\n:2\r\n"),
            ],
            expect: &[
                "AUTH `AUTH ?` 0 -> Complete 26/5",
                "SELECT `SELECT 3` 0 -> Complete 23/5",
                "MSET `MSET a ? b ?` 3 -> Complete 52/5",
                "SELECT `SELECT 99` 3 -> ERR Complete 24/31",
                "DEL `DEL a b` 3 -> Complete 27/4",
            ],
        },
        Case {
            name: "transactions",
            script: vec![
                (Client, pipeline(&["MULTI", "SET a secret", "SET b secret", "EXEC"])),
                answer("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n-OOM command not allowed\r\n"),
                ask("WATCH a"),
                answer("+OK\r\n"),
                ask("MULTI"),
                answer("+OK\r\n"),
                ask("INCR a"),
                answer("+QUEUED\r\n"),
                ask("EXEC"),
                answer("*-1\r\n"),
                (Client, pipeline(&["MULTI", "HSET h f secret", "GET", "DEL h", "EXEC"])),
                answer("+OK\r\n+QUEUED\r\n-ERR wrong number\r\n+QUEUED\r\n-EXECABORT discarded\r\n"),
                (Client, pipeline(&["MULTI", "SELECT 2", "DEL h", "DISCARD", "GET a"])),
                answer("+OK\r\n+QUEUED\r\n+QUEUED\r\n+OK\r\n$-1\r\n"),
                (Client, pipeline(&["MULTI", "EXEC", "MULTI", "SELECT 2", "SELECT 5", "EXEC", "GET a"])),
                answer("+OK\r\n*0\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n$-1\r\n"),
            ],
            expect: &[
                "MULTI SET `SET a ?; SET b ?` 0 -> batch 2 OOM Complete 93/35",
                "WATCH `WATCH a` 0 -> Complete 22/5",
                "INCR `INCR a` 0 -> Aborted Complete 50/5",
                "MULTI `HSET h f ?; GET; DEL h` 0 -> batch 3 EXECABORT Complete 102/22",
                "MULTI `SELECT 2; DEL h` 0 -> batch 2 Discarded Complete 75/5",
                "GET `GET a` 0 -> Complete 20/5",
                "MULTI - 0 -> batch 0 Complete 29/4",
                "MULTI SELECT `SELECT 2; SELECT 5` 5 -> batch 2 Complete 75/14",
                "GET `GET a` 5 -> Complete 20/5",
            ],
        },
        Case {
            name: "RESP3: maps, pushes, attributes, numbers, streams",
            script: vec![
                ask("HELLO 3 AUTH bob secret SETNAME secret"),
                answer("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"),
                ask("HGETALL h"),
                answer(">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nsecret\r\n%1\r\n$1\r\nf\r\n$6\r\nsecret\r\n"),
                (Client, pipeline(&["SUBSCRIBE news", "ZSCORE z m", "SMEMBERS s"])),
                answer(
                    ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n,1.5\r\n>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$6\r\nsecret\r\n",
                ),
                answer("|1\r\n$3\r\nttl\r\n:3600\r\n~2\r\n+a\r\n#t\r\n"),
                (
                    Client,
                    pipeline(&["GET a", "LRANGE l 0 1", "INCRBY n 5", "EVAL return 1 k secret", "GET b"]),
                ),
                answer("$?\r\n;4\r\nsecr\r\n;2\r\net\r\n;0\r\n*?\r\n:1\r\n*?\r\n.\r\n_\r\n.\r\n"),
                answer(
                    "(3492890328409238509324850943850943825024385\r\n!10\r\nBUSY secre\r\n=10\r\ntxt:secret\r\n",
                ),
            ],
            expect: &[
                "HELLO `HELLO 3 AUTH ? ? SETNAME ?` 0 -> Complete 78/42",
                "HGETALL `HGETALL h` 0 -> Complete 24/23",
                "ZSCORE `ZSCORE z ?` 0 -> Complete 30/6",
                "SMEMBERS `SMEMBERS s` 0 -> Complete 25/32",
                "GET `GET a` 0 -> Complete 20/26",
                "LRANGE `LRANGE l ? ?` 0 -> Complete 37/21",
                "INCRBY `INCRBY n ?` 0 -> Complete 30/46",
                "EVAL `EVAL ? 1 k ?` 0 -> BUSY Complete 52/17",
                "GET `GET b` 0 -> Complete 20/17",
            ],
        },
        Case {
            name: "subscriptions without pushes",
            script: vec![
                ask("PSUBSCRIBE n* m*"),
                answer(
                    "*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n*3\r\n$10\r\npsubscribe\r\n$2\r\nm*\r\n:2\r\n",
                ),
                answer("*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$2\r\nnn\r\n$6\r\nsecret\r\n"),
                ask("PING"),
                answer("*3\r\n$7\r\nmessage\r\n$2\r\nnn\r\n$6\r\nsecret\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
                ask("PUNSUBSCRIBE"),
                answer(
                    "*3\r\n$12\r\npunsubscribe\r\n$2\r\nn*\r\n:1\r\n*3\r\n$12\r\npunsubscribe\r\n$2\r\nm*\r\n:0\r\n",
                ),
                ask("LRANGE l 0 0"),
                answer("*1\r\n$7\r\nmessage\r\n"),
                ask("SUBSCRIBE secret"),
                answer("-NOPERM this user has no permissions\r\n"),
                ask("GET a"),
                answer("$-1\r\n"),
            ],
            expect: &[
                "PING `PING` 0 -> Complete 14/20",
                "LRANGE `LRANGE l ? ?` 0 -> Complete 37/17",
                "GET `GET a` 0 -> Complete 20/5",
            ],
        },
        Case {
            name: "blocking, silent and inline commands",
            script: vec![
                ask("BLPOP queue other 0"),
                answer("*2\r\n$5\r\nqueue\r\n$6\r\nsecret\r\n"),
                ask("XREAD COUNT 2 BLOCK 0 STREAMS s1 s2 0-0 $"),
                answer("*-1\r\n"),
                ask("XREAD COUNT 2 STREAMS block 0-0"),
                answer("*-1\r\n"),
                (
                    Client,
                    pipeline(&[
                        "CLIENT REPLY SKIP",
                        "SET a secret",
                        "CLIENT REPLY OFF",
                        "DEL a",
                        "CLIENT REPLY ON",
                        "DEL b",
                    ]),
                ),
                answer("+OK\r\n:0\r\n"),
                (Client, b"\r\nset a \"sec ret\"\nPING\r\n*0\r\n  get   a\r\n".to_vec()),
                answer("+OK\r\n+PONG\r\n$6\r\nsecret\r\n"),
            ],
            expect: &[
                "BLPOP `BLPOP queue other ?` 0 -> waits Event Complete 44/27",
                "XREAD `XREAD COUNT ? BLOCK ? STREAMS s1 s2 ? ?` 0 -> waits Event Complete 97/5",
                "XREAD `XREAD COUNT ? STREAMS block ?` 0 -> Complete 66/5",
                "CLIENT `CLIENT REPLY SKIP` 0 -> waits Nothing Complete 37/0",
                "SET `SET a ?` 0 -> waits Nothing Complete 32/0",
                "CLIENT `CLIENT REPLY OFF` 0 -> waits Nothing Complete 36/0",
                "DEL `DEL a` 0 -> waits Nothing Complete 20/0",
                "CLIENT `CLIENT REPLY ON` 0 -> Complete 35/5",
                "DEL `DEL b` 0 -> Complete 20/4",
                "SET `SET a ?` 0 -> Complete 16/5",
                "PING `PING` 0 -> Complete 6/7",
                "GET `GET a` 0 -> Complete 11/12",
            ],
        },
        Case {
            name: "monitor",
            script: vec![
                ask("MONITOR"),
                answer("+OK\r\n"),
                answer(
                    "+1339518083.107412 [0 127.0.0.1:60866] \"set\" \"secret\"\r\n+1339518087.877697 [0 127.0.0.1:60866] \"get\"\r\n",
                ),
                ask("QUIT"),
                answer("+1339518099.363799 [0 127.0.0.1:60866] \"dbsize\"\r\n+OK\r\n"),
            ],
            expect: &["QUIT `QUIT` 0 -> Complete 14/5"],
        },
    ]
}
