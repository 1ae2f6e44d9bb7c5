//! The commands: which of their arguments are keys, what they answer, and what they do to their connection.
//!
//! The table follows `COMMAND DOCS` of Redis 8. A command that is not in it is masked as a whole, and so are
//! all arguments that are not said to be keys, fields of hashes or words of the command's own.

/// No command of the table, or of a module that is known, is longer.
pub(crate) const LONGEST_NAME: usize = 24;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) name: &'static str,
    pub(super) rule: Rule,
    pub(super) answer: Answer,
    pub(super) effect: Effect,
}

/// Which arguments are shown: first as many, then not as many, then what the tail says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) keep: u8,
    pub(super) mask: u8,
    pub(super) tail: Tail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    Values,
    Keys,
    /// Keys, and a value at the end.
    KeysAndOne,
    /// A key or field, a value, and so on.
    Pairs,
    /// Words of [`OPTIONS`], and values.
    Options,
    /// A number, as many keys, and values.
    CountedKeys,
    /// The same, and options in place of the values.
    CountedKeysAndOptions,
    /// Options, `STREAMS`, keys, and as many values.
    Streams,
}

/// What is certain of a reply. A null and an error may come in place of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Any,
    Status,
    Number,
    Text,
    Many,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    /// It waits for an event.
    Blocks,
    /// It is answered by pushes.
    Subscribes,
    /// Lines follow that answer nothing.
    Monitors,
    /// The connection becomes a replica's.
    Replicates,
    Begins,
    Executes,
    Discards,
    Selects,
    /// It may say whether there are replies.
    Replies,
    Resets,
    /// It runs a script or function that has a name.
    Runs,
}

/// A command that is not in the table and has no name that can be told.
pub(super) static UNKNOWN: Info = row("_OTHER", VALUES, Answer::Any);
static MODULE: Info = row("_OTHER", KEY, Answer::Any);

/// The command of that name, in any case.
pub(super) fn find(name: &[u8]) -> Option<&'static Info> {
    let mut upper = [0; LONGEST_NAME];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    let at = TABLE.binary_search_by(|info| info.name.as_bytes().cmp(upper)).ok()?;
    Some(&TABLE[at])
}

/// A command that is not in the table: those of the modules that Redis brings take a key first.
pub(super) fn of_module(name: &str) -> &'static Info {
    const MODULES: [&str; 8] = ["BF", "CF", "CMS", "FT", "JSON", "TDIGEST", "TOPK", "TS"];
    match name.split_once('.') {
        Some((module, _)) if MODULES.contains(&module) => &MODULE,
        Some(_) | None => &UNKNOWN,
    }
}

/// Whether text can be a command's name. Longer ones are not told: a command that was renamed so that nobody
/// guesses it is a secret.
pub(super) fn is_name(name: &[u8]) -> bool {
    let letter = name.first().is_some_and(u8::is_ascii_alphabetic);
    letter && name.len() <= LONGEST_NAME && name.iter().all(|&byte| is_of_name(byte))
}

pub(super) fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// How many values follow an option; `None` where it is none.
pub(super) fn option(word: &[u8]) -> Option<u64> {
    let mut upper = [0; LONGEST_NAME];
    let upper = upper.get_mut(..word.len())?;
    upper.copy_from_slice(word);
    upper.make_ascii_uppercase();
    let at = OPTIONS_KNOWN.binary_search_by(|(option, _)| option.as_bytes().cmp(upper)).ok()?;
    Some(OPTIONS_KNOWN[at].1)
}

const fn row(name: &'static str, rule: Rule, answer: Answer) -> Info {
    Info { name, rule, answer, effect: Effect::None }
}

impl Info {
    const fn that(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }
}

const fn rule(keep: u8, mask: u8, tail: Tail) -> Rule {
    Rule { keep, mask, tail }
}

const VALUES: Rule = rule(0, 0, Tail::Values);
const NOTHING: Rule = VALUES;
const OPTIONS: Rule = rule(0, 0, Tail::Options);
const KEY: Rule = rule(1, 0, Tail::Values);
const KEY_OPTIONS: Rule = rule(1, 0, Tail::Options);
const KEY_VALUE_OPTIONS: Rule = rule(1, 1, Tail::Options);
const KEY_TWO_VALUES_OPTIONS: Rule = rule(1, 2, Tail::Options);
const KEY_PAIRS: Rule = rule(1, 0, Tail::Pairs);
const KEY_COUNTED_KEYS_OPTIONS: Rule = rule(1, 0, Tail::CountedKeysAndOptions);
const TWO_KEYS: Rule = rule(2, 0, Tail::Values);
const TWO_KEYS_OPTIONS: Rule = rule(2, 0, Tail::Options);
const KEYS: Rule = rule(0, 0, Tail::Keys);
const KEYS_AND_ONE: Rule = rule(0, 0, Tail::KeysAndOne);
const PAIRS: Rule = rule(0, 0, Tail::Pairs);
const SCAN: Rule = rule(0, 1, Tail::Options);
const COUNTED_KEYS_OPTIONS: Rule = rule(0, 0, Tail::CountedKeysAndOptions);
const VALUE_COUNTED_KEYS: Rule = rule(0, 1, Tail::CountedKeys);
const VALUE_COUNTED_KEYS_OPTIONS: Rule = rule(0, 1, Tail::CountedKeysAndOptions);
/// A digest or the name of a function.
const NAME_COUNTED_KEYS: Rule = rule(1, 0, Tail::CountedKeys);
const STREAMS: Rule = rule(0, 0, Tail::Streams);
const SUBCOMMAND: Rule = rule(1, 0, Tail::Values);
const SUBCOMMAND_KEY: Rule = rule(2, 0, Tail::Values);
const SUBCOMMAND_OPTIONS: Rule = rule(1, 0, Tail::Options);
const SUBCOMMAND_PAIRS: Rule = rule(1, 0, Tail::Pairs);

/// Words of commands, and how many values belong to each.
const OPTIONS_KNOWN: &[(&str, u64)] = &[
    ("ABSTTL", 0),
    ("AFTER", 0),
    ("AGGREGATE", 1),
    ("ALPHA", 0),
    ("ANY", 0),
    ("ASC", 0),
    ("ASYNC", 0),
    ("AUTH", 2),
    ("BEFORE", 0),
    ("BIT", 0),
    ("BLOCK", 1),
    ("BY", 1),
    ("BYBOX", 2),
    ("BYLEX", 0),
    ("BYRADIUS", 1),
    ("BYSCORE", 0),
    ("BYTE", 0),
    ("CH", 0),
    ("COUNT", 1),
    ("DB", 1),
    ("DESC", 0),
    ("EX", 1),
    ("EXAT", 1),
    ("FIELDS", 1),
    ("FNX", 0),
    ("FORCE", 0),
    ("FREQ", 1),
    ("FROMLONLAT", 2),
    ("FROMMEMBER", 1),
    ("FT", 0),
    ("FXX", 0),
    ("GET", 0),
    ("GROUP", 2),
    ("GT", 0),
    ("IDLE", 1),
    ("IDLETIME", 1),
    ("IDX", 0),
    ("INCR", 0),
    ("JUSTID", 0),
    ("KEEPTTL", 0),
    ("KM", 0),
    ("LASTID", 1),
    ("LEFT", 0),
    ("LEN", 0),
    ("LIB-NAME", 1),
    ("LIB-VER", 1),
    ("LIMIT", 2),
    ("LT", 0),
    ("M", 0),
    ("MATCH", 1),
    ("MAX", 0),
    ("MAXLEN", 1),
    ("MI", 0),
    ("MIN", 0),
    ("MINID", 1),
    ("MINMATCHLEN", 1),
    ("NO", 0),
    ("NOACK", 0),
    ("NOMKSTREAM", 0),
    ("NOVALUES", 0),
    ("NX", 0),
    ("OFF", 0),
    ("ON", 0),
    ("OVERFLOW", 1),
    ("PERSIST", 0),
    ("PX", 1),
    ("PXAT", 1),
    ("RANK", 1),
    ("REPLACE", 0),
    ("REPLY", 0),
    ("RETRYCOUNT", 1),
    ("REV", 0),
    ("RIGHT", 0),
    ("SETINFO", 0),
    ("SETNAME", 1),
    ("SKIP", 0),
    ("STORE", 1),
    ("STOREDIST", 1),
    ("STREAMS", 0),
    ("SYNC", 0),
    ("TIME", 1),
    ("TYPE", 1),
    ("WEIGHTS", 0),
    ("WITHCOORD", 0),
    ("WITHDIST", 0),
    ("WITHHASH", 0),
    ("WITHMATCHLEN", 0),
    ("WITHSCORE", 0),
    ("WITHSCORES", 0),
    ("WITHVALUES", 0),
    ("XX", 0),
    ("YES", 0),
];

static TABLE: &[Info] = &[
    row("ACL", SUBCOMMAND, Answer::Any),
    row("APPEND", KEY, Answer::Number),
    row("ASKING", NOTHING, Answer::Status),
    row("AUTH", VALUES, Answer::Status),
    row("BGREWRITEAOF", VALUES, Answer::Any),
    row("BGSAVE", VALUES, Answer::Any),
    row("BITCOUNT", KEY_OPTIONS, Answer::Number),
    row("BITFIELD", KEY_OPTIONS, Answer::Many),
    row("BITFIELD_RO", KEY_OPTIONS, Answer::Many),
    row("BITOP", KEYS, Answer::Number),
    row("BITPOS", KEY_OPTIONS, Answer::Number),
    row("BLMOVE", TWO_KEYS_OPTIONS, Answer::Any).that(Effect::Blocks),
    row("BLMPOP", VALUE_COUNTED_KEYS_OPTIONS, Answer::Any).that(Effect::Blocks),
    row("BLPOP", KEYS_AND_ONE, Answer::Many).that(Effect::Blocks),
    row("BRPOP", KEYS_AND_ONE, Answer::Many).that(Effect::Blocks),
    row("BRPOPLPUSH", TWO_KEYS, Answer::Any).that(Effect::Blocks),
    row("BZMPOP", VALUE_COUNTED_KEYS_OPTIONS, Answer::Any).that(Effect::Blocks),
    row("BZPOPMAX", KEYS_AND_ONE, Answer::Many).that(Effect::Blocks),
    row("BZPOPMIN", KEYS_AND_ONE, Answer::Many).that(Effect::Blocks),
    row("CLIENT", SUBCOMMAND_OPTIONS, Answer::Any).that(Effect::Replies),
    row("CLUSTER", SUBCOMMAND, Answer::Any),
    row("COMMAND", SUBCOMMAND, Answer::Any),
    row("CONFIG", SUBCOMMAND_PAIRS, Answer::Any),
    row("COPY", TWO_KEYS_OPTIONS, Answer::Number),
    row("DBSIZE", NOTHING, Answer::Number),
    row("DEBUG", SUBCOMMAND, Answer::Any),
    row("DECR", KEY, Answer::Number),
    row("DECRBY", KEY, Answer::Number),
    row("DEL", KEYS, Answer::Number),
    row("DISCARD", NOTHING, Answer::Status).that(Effect::Discards),
    row("DUMP", KEY, Answer::Text),
    row("ECHO", VALUES, Answer::Text),
    row("EVAL", VALUE_COUNTED_KEYS, Answer::Any),
    row("EVALSHA", NAME_COUNTED_KEYS, Answer::Any).that(Effect::Runs),
    row("EVALSHA_RO", NAME_COUNTED_KEYS, Answer::Any).that(Effect::Runs),
    row("EVAL_RO", VALUE_COUNTED_KEYS, Answer::Any),
    row("EXEC", NOTHING, Answer::Any).that(Effect::Executes),
    row("EXISTS", KEYS, Answer::Number),
    row("EXPIRE", KEY_VALUE_OPTIONS, Answer::Number),
    row("EXPIREAT", KEY_VALUE_OPTIONS, Answer::Number),
    row("EXPIRETIME", KEY, Answer::Number),
    row("FAILOVER", SUBCOMMAND, Answer::Any),
    row("FCALL", NAME_COUNTED_KEYS, Answer::Any).that(Effect::Runs),
    row("FCALL_RO", NAME_COUNTED_KEYS, Answer::Any).that(Effect::Runs),
    row("FLUSHALL", OPTIONS, Answer::Status),
    row("FLUSHDB", OPTIONS, Answer::Status),
    row("FUNCTION", SUBCOMMAND, Answer::Any),
    row("GEOADD", KEY_OPTIONS, Answer::Number),
    row("GEODIST", KEY_OPTIONS, Answer::Any),
    row("GEOHASH", KEY_OPTIONS, Answer::Any),
    row("GEOPOS", KEY_OPTIONS, Answer::Any),
    row("GEORADIUS", KEY_OPTIONS, Answer::Any),
    row("GEORADIUSBYMEMBER", KEY_OPTIONS, Answer::Any),
    row("GEORADIUSBYMEMBER_RO", KEY_OPTIONS, Answer::Any),
    row("GEORADIUS_RO", KEY_OPTIONS, Answer::Any),
    row("GEOSEARCH", KEY_OPTIONS, Answer::Any),
    row("GEOSEARCHSTORE", TWO_KEYS_OPTIONS, Answer::Number),
    row("GET", KEY, Answer::Text),
    row("GETBIT", KEY, Answer::Number),
    row("GETDEL", KEY, Answer::Text),
    row("GETEX", KEY_OPTIONS, Answer::Text),
    row("GETRANGE", KEY, Answer::Text),
    row("GETSET", KEY, Answer::Text),
    row("HDEL", KEYS, Answer::Number),
    row("HELLO", SUBCOMMAND_OPTIONS, Answer::Many),
    row("HEXISTS", TWO_KEYS, Answer::Number),
    row("HEXPIRE", KEY_OPTIONS, Answer::Any),
    row("HEXPIREAT", KEY_OPTIONS, Answer::Any),
    row("HEXPIRETIME", KEY_OPTIONS, Answer::Any),
    row("HGET", TWO_KEYS, Answer::Text),
    row("HGETALL", KEY, Answer::Many),
    row("HGETDEL", KEY_OPTIONS, Answer::Any),
    row("HGETEX", KEY_OPTIONS, Answer::Any),
    row("HINCRBY", TWO_KEYS, Answer::Number),
    row("HINCRBYFLOAT", TWO_KEYS, Answer::Any),
    row("HKEYS", KEY, Answer::Many),
    row("HLEN", KEY, Answer::Number),
    row("HMGET", KEYS, Answer::Many),
    row("HMSET", KEY_PAIRS, Answer::Status),
    row("HPERSIST", KEY_OPTIONS, Answer::Any),
    row("HPEXPIRE", KEY_OPTIONS, Answer::Any),
    row("HPEXPIREAT", KEY_OPTIONS, Answer::Any),
    row("HPEXPIRETIME", KEY_OPTIONS, Answer::Any),
    row("HPTTL", KEY_OPTIONS, Answer::Any),
    row("HRANDFIELD", KEY_OPTIONS, Answer::Any),
    row("HSCAN", KEY_VALUE_OPTIONS, Answer::Many),
    row("HSET", KEY_PAIRS, Answer::Number),
    row("HSETEX", KEY_OPTIONS, Answer::Any),
    row("HSETNX", TWO_KEYS, Answer::Number),
    row("HSTRLEN", TWO_KEYS, Answer::Number),
    row("HTTL", KEY_OPTIONS, Answer::Any),
    row("HVALS", KEY, Answer::Many),
    row("INCR", KEY, Answer::Number),
    row("INCRBY", KEY, Answer::Number),
    row("INCRBYFLOAT", KEY, Answer::Any),
    row("INFO", SUBCOMMAND, Answer::Any),
    row("KEYS", KEY, Answer::Many),
    row("LASTSAVE", NOTHING, Answer::Number),
    row("LATENCY", SUBCOMMAND, Answer::Any),
    row("LCS", TWO_KEYS_OPTIONS, Answer::Any),
    row("LINDEX", KEY, Answer::Text),
    row("LINSERT", KEY_OPTIONS, Answer::Number),
    row("LLEN", KEY, Answer::Number),
    row("LMOVE", TWO_KEYS_OPTIONS, Answer::Text),
    row("LMPOP", COUNTED_KEYS_OPTIONS, Answer::Any),
    row("LOLWUT", VALUES, Answer::Any),
    row("LPOP", KEY, Answer::Any),
    row("LPOS", KEY_VALUE_OPTIONS, Answer::Any),
    row("LPUSH", KEY, Answer::Number),
    row("LPUSHX", KEY, Answer::Number),
    row("LRANGE", KEY, Answer::Many),
    row("LREM", KEY, Answer::Number),
    row("LSET", KEY, Answer::Status),
    row("LTRIM", KEY, Answer::Status),
    row("MEMORY", SUBCOMMAND_KEY, Answer::Any),
    row("MGET", KEYS, Answer::Many),
    row("MIGRATE", VALUES, Answer::Status),
    row("MODULE", SUBCOMMAND, Answer::Any),
    row("MONITOR", NOTHING, Answer::Status).that(Effect::Monitors),
    row("MOVE", KEY, Answer::Number),
    row("MSET", PAIRS, Answer::Status),
    row("MSETNX", PAIRS, Answer::Number),
    row("MULTI", NOTHING, Answer::Status).that(Effect::Begins),
    row("OBJECT", SUBCOMMAND_KEY, Answer::Any),
    row("PERSIST", KEY, Answer::Number),
    row("PEXPIRE", KEY_VALUE_OPTIONS, Answer::Number),
    row("PEXPIREAT", KEY_VALUE_OPTIONS, Answer::Number),
    row("PEXPIRETIME", KEY, Answer::Number),
    row("PFADD", KEY, Answer::Number),
    row("PFCOUNT", KEYS, Answer::Number),
    row("PFDEBUG", VALUES, Answer::Any),
    row("PFMERGE", KEYS, Answer::Status),
    row("PFSELFTEST", VALUES, Answer::Any),
    row("PING", VALUES, Answer::Any),
    row("PSETEX", KEY, Answer::Status),
    row("PSUBSCRIBE", VALUES, Answer::Any).that(Effect::Subscribes),
    row("PSYNC", VALUES, Answer::Any).that(Effect::Replicates),
    row("PTTL", KEY, Answer::Number),
    row("PUBLISH", KEY, Answer::Number),
    row("PUBSUB", SUBCOMMAND, Answer::Any),
    row("PUNSUBSCRIBE", VALUES, Answer::Any).that(Effect::Subscribes),
    row("QUIT", NOTHING, Answer::Status),
    row("RANDOMKEY", NOTHING, Answer::Text),
    row("READONLY", NOTHING, Answer::Status),
    row("READWRITE", NOTHING, Answer::Status),
    row("RENAME", TWO_KEYS, Answer::Status),
    row("RENAMENX", TWO_KEYS, Answer::Number),
    row("REPLCONF", SUBCOMMAND, Answer::Any),
    row("REPLICAOF", VALUES, Answer::Status),
    row("RESET", NOTHING, Answer::Status).that(Effect::Resets),
    row("RESTORE", KEY_TWO_VALUES_OPTIONS, Answer::Status),
    row("RESTORE-ASKING", KEY_TWO_VALUES_OPTIONS, Answer::Status),
    row("ROLE", VALUES, Answer::Any),
    row("RPOP", KEY, Answer::Any),
    row("RPOPLPUSH", TWO_KEYS, Answer::Text),
    row("RPUSH", KEY, Answer::Number),
    row("RPUSHX", KEY, Answer::Number),
    row("SADD", KEY, Answer::Number),
    row("SAVE", VALUES, Answer::Any),
    row("SCAN", SCAN, Answer::Many),
    row("SCARD", KEY, Answer::Number),
    row("SCRIPT", SUBCOMMAND, Answer::Any),
    row("SDIFF", KEYS, Answer::Many),
    row("SDIFFSTORE", KEYS, Answer::Number),
    row("SELECT", SUBCOMMAND, Answer::Status).that(Effect::Selects),
    row("SENTINEL", SUBCOMMAND, Answer::Any),
    row("SET", KEY_VALUE_OPTIONS, Answer::Any),
    row("SETBIT", KEY, Answer::Number),
    row("SETEX", KEY, Answer::Status),
    row("SETNX", KEY, Answer::Number),
    row("SETRANGE", KEY, Answer::Number),
    row("SHUTDOWN", VALUES, Answer::Any),
    row("SINTER", KEYS, Answer::Many),
    row("SINTERCARD", COUNTED_KEYS_OPTIONS, Answer::Number),
    row("SINTERSTORE", KEYS, Answer::Number),
    row("SISMEMBER", KEY, Answer::Number),
    row("SLAVEOF", VALUES, Answer::Status),
    row("SLOWLOG", SUBCOMMAND, Answer::Any),
    row("SMEMBERS", KEY, Answer::Many),
    row("SMISMEMBER", KEY, Answer::Many),
    row("SMOVE", TWO_KEYS, Answer::Number),
    row("SORT", KEY_OPTIONS, Answer::Any),
    row("SORT_RO", KEY_OPTIONS, Answer::Many),
    row("SPOP", KEY, Answer::Any),
    row("SPUBLISH", KEY, Answer::Number),
    row("SRANDMEMBER", KEY, Answer::Any),
    row("SREM", KEY, Answer::Number),
    row("SSCAN", KEY_VALUE_OPTIONS, Answer::Many),
    row("SSUBSCRIBE", VALUES, Answer::Any).that(Effect::Subscribes),
    row("STRLEN", KEY, Answer::Number),
    row("SUBSCRIBE", VALUES, Answer::Any).that(Effect::Subscribes),
    row("SUBSTR", KEY, Answer::Text),
    row("SUNION", KEYS, Answer::Many),
    row("SUNIONSTORE", KEYS, Answer::Number),
    row("SUNSUBSCRIBE", VALUES, Answer::Any).that(Effect::Subscribes),
    row("SWAPDB", TWO_KEYS, Answer::Status),
    row("SYNC", VALUES, Answer::Any).that(Effect::Replicates),
    row("TIME", VALUES, Answer::Any),
    row("TOUCH", KEYS, Answer::Number),
    row("TTL", KEY, Answer::Number),
    row("TYPE", KEY, Answer::Status),
    row("UNLINK", KEYS, Answer::Number),
    row("UNSUBSCRIBE", VALUES, Answer::Any).that(Effect::Subscribes),
    row("UNWATCH", NOTHING, Answer::Status),
    row("VADD", KEY, Answer::Any),
    row("VCARD", KEY, Answer::Any),
    row("VDIM", KEY, Answer::Any),
    row("VEMB", KEY, Answer::Any),
    row("VGETATTR", KEY, Answer::Any),
    row("VINFO", KEY, Answer::Any),
    row("VISMEMBER", KEY, Answer::Any),
    row("VLINKS", KEY, Answer::Any),
    row("VRANDMEMBER", KEY, Answer::Any),
    row("VRANGE", KEY, Answer::Any),
    row("VREM", KEY, Answer::Any),
    row("VSETATTR", KEY, Answer::Any),
    row("VSIM", KEY, Answer::Any),
    row("WAIT", VALUES, Answer::Number).that(Effect::Blocks),
    row("WAITAOF", VALUES, Answer::Many).that(Effect::Blocks),
    row("WATCH", KEYS, Answer::Status),
    row("XACK", KEY, Answer::Number),
    row("XACKDEL", KEY, Answer::Any),
    row("XADD", KEY_OPTIONS, Answer::Text),
    row("XAUTOCLAIM", KEY, Answer::Any),
    row("XCLAIM", KEY, Answer::Any),
    row("XDEL", KEY, Answer::Number),
    row("XDELEX", KEY, Answer::Any),
    row("XGROUP", SUBCOMMAND_KEY, Answer::Any),
    row("XINFO", SUBCOMMAND_KEY, Answer::Any),
    row("XLEN", KEY, Answer::Number),
    row("XPENDING", KEY, Answer::Any),
    row("XRANGE", KEY_TWO_VALUES_OPTIONS, Answer::Many),
    row("XREAD", STREAMS, Answer::Any),
    row("XREADGROUP", STREAMS, Answer::Any),
    row("XREVRANGE", KEY_TWO_VALUES_OPTIONS, Answer::Many),
    row("XSETID", KEY, Answer::Any),
    row("XTRIM", KEY, Answer::Number),
    row("ZADD", KEY_OPTIONS, Answer::Any),
    row("ZCARD", KEY, Answer::Number),
    row("ZCOUNT", KEY, Answer::Number),
    row("ZDIFF", COUNTED_KEYS_OPTIONS, Answer::Many),
    row("ZDIFFSTORE", KEY_COUNTED_KEYS_OPTIONS, Answer::Number),
    row("ZINCRBY", KEY, Answer::Any),
    row("ZINTER", COUNTED_KEYS_OPTIONS, Answer::Many),
    row("ZINTERCARD", COUNTED_KEYS_OPTIONS, Answer::Number),
    row("ZINTERSTORE", KEY_COUNTED_KEYS_OPTIONS, Answer::Number),
    row("ZLEXCOUNT", KEY, Answer::Number),
    row("ZMPOP", COUNTED_KEYS_OPTIONS, Answer::Any),
    row("ZMSCORE", KEY, Answer::Many),
    row("ZPOPMAX", KEY, Answer::Many),
    row("ZPOPMIN", KEY, Answer::Many),
    row("ZRANDMEMBER", KEY_OPTIONS, Answer::Any),
    row("ZRANGE", KEY_TWO_VALUES_OPTIONS, Answer::Many),
    row("ZRANGEBYLEX", KEY_TWO_VALUES_OPTIONS, Answer::Many),
    row("ZRANGEBYSCORE", KEY_TWO_VALUES_OPTIONS, Answer::Many),
    row("ZRANGESTORE", TWO_KEYS_OPTIONS, Answer::Number),
    row("ZRANK", KEY_VALUE_OPTIONS, Answer::Any),
    row("ZREM", KEY, Answer::Number),
    row("ZREMRANGEBYLEX", KEY, Answer::Number),
    row("ZREMRANGEBYRANK", KEY, Answer::Number),
    row("ZREMRANGEBYSCORE", KEY, Answer::Number),
    row("ZREVRANGE", KEY_TWO_VALUES_OPTIONS, Answer::Many),
    row("ZREVRANGEBYLEX", KEY_TWO_VALUES_OPTIONS, Answer::Many),
    row("ZREVRANGEBYSCORE", KEY_TWO_VALUES_OPTIONS, Answer::Many),
    row("ZREVRANK", KEY_VALUE_OPTIONS, Answer::Any),
    row("ZSCAN", KEY_VALUE_OPTIONS, Answer::Many),
    row("ZSCORE", KEY, Answer::Any),
    row("ZUNION", COUNTED_KEYS_OPTIONS, Answer::Many),
    row("ZUNIONSTORE", KEY_COUNTED_KEYS_OPTIONS, Answer::Number),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_in_order_and_their_names_fit() {
        assert!(TABLE.windows(2).all(|two| two[0].name < two[1].name));
        assert!(OPTIONS_KNOWN.windows(2).all(|two| two[0].0 < two[1].0));
        assert!(TABLE.iter().all(|info| is_name(info.name.as_bytes())));
    }

    #[test]
    fn names_are_found_in_any_case() {
        for name in [&b"GET"[..], b"get", b"Get", b"geoRadiusByMember_RO", b"restore-asking"] {
            assert!(find(name).is_some_and(|info| info.name.as_bytes().eq_ignore_ascii_case(name)));
        }
        for name in [&b""[..], b"GE", b"GETT", b"a_name_that_is_longer_than_any", b"\xff"] {
            assert_eq!(find(name), None);
        }
    }
}
