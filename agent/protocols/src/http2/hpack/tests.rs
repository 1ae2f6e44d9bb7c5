//! RFC 7541 appendix C, an encoder that others wrote, and what happens to a decoder that missed a part.

use httlib_hpack::Encoder;
use proptest::prelude::*;

use super::{Decoder, Error, Extent, Field, table};

const HARD_LIMIT: usize = 64 * 1024;

fn decoder() -> Decoder {
    Decoder::new(HARD_LIMIT, |_| true)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// `name: value` a field, `?` where unknown.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Error> {
    let mut fields = Vec::new();
    let extent = decoder.decode(block, usize::MAX, |field| {
        fields.push(match field {
            Field::Known { name, value } => {
                format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            }
            Field::Unknown => "?".to_owned(),
        });
    })?;
    assert_eq!(extent, Extent::Whole);
    Ok(fields)
}

/// A block, its fields, and the table's contents and size after it.
type Step<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)], usize);

#[track_caller]
fn check(table_size: usize, blocks: &[Step<'_>]) {
    let mut decoder = decoder();
    decoder.table.set_max_size(table_size);
    for (block, fields, entries, size) in blocks {
        assert_eq!(decode(&mut decoder, &hex(block)).unwrap(), *fields);
        assert_eq!(decoder.table.contents(), (entries.to_vec(), *size));
    }
}

#[test]
fn appendix_c_1_integers() {
    let integer = |bytes: &[u8], prefix| super::Cursor(bytes).integer(prefix);
    assert_eq!(integer(&[0b1110_1010], 5), Ok(10));
    assert_eq!(integer(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5), Ok(1337));
    // The appendix's third example, 42 at an octet's start, has a prefix that no field begins with.
    assert_eq!(integer(&[0b0010_1010], 7), Ok(42));
    assert_eq!(integer(&[0x7f, 0x80, 0x80, 0x00], 7), Ok(127));
    assert_eq!(integer(&[0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f], 7), Ok(0xffff_ffff));
    assert_eq!(integer(&[0x7f, 0x81, 0xff, 0xff, 0xff, 0x0f], 7), Err(Error::Integer));
    assert_eq!(integer(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 7), Err(Error::Integer));
    assert_eq!(integer(&[0x7f, 0x80], 7), Err(Error::Truncated));
    assert_eq!(integer(&[], 7), Err(Error::Truncated));
}

#[test]
fn appendix_c_2_representations() {
    check(
        4096,
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            &["custom-key: custom-header"],
            &[("custom-key", "custom-header")],
            55,
        )],
    );
    check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], &[], 0)]);
    check(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"], &[], 0)]);
    check(4096, &[("82", &[":method: GET"], &[], 0)]);
}

const REQUEST_1: &[&str] = &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const REQUEST_2: &[&str] =
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"];
const REQUEST_3: &[&str] = &[
    ":method: GET",
    ":scheme: https",
    ":path: /index.html",
    ":authority: www.example.com",
    "custom-key: custom-value",
];

fn check_requests(blocks: [&str; 3]) {
    let authority = (":authority", "www.example.com");
    let cache = ("cache-control", "no-cache");
    check(
        4096,
        &[
            (blocks[0], REQUEST_1, &[authority], 57),
            (blocks[1], REQUEST_2, &[cache, authority], 110),
            (blocks[2], REQUEST_3, &[("custom-key", "custom-value"), cache, authority], 164),
        ],
    );
}

#[test]
fn appendix_c_3_requests_without_huffman() {
    check_requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn appendix_c_4_requests_with_huffman() {
    check_requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

fn check_responses(blocks: [&str; 3]) {
    let (private, location) = (("cache-control", "private"), ("location", "https://www.example.com"));
    let date_21 = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let date_22 = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    let cookie = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    let fields = |status: &'static str, date: &'static str| {
        [status, "cache-control: private", date, "location: https://www.example.com"]
    };
    let date = "date: Mon, 21 Oct 2013 20:13:21 GMT";
    let last = [
        ":status: 200",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
        "location: https://www.example.com",
        "content-encoding: gzip",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ];
    // Only 256 bytes fit, so entries are evicted.
    check(
        256,
        &[
            (
                blocks[0],
                &fields(":status: 302", date),
                &[location, date_21, private, (":status", "302")],
                222,
            ),
            (
                blocks[1],
                &fields(":status: 307", date),
                &[(":status", "307"), location, date_21, private],
                222,
            ),
            (blocks[2], &last, &[cookie, ("content-encoding", "gzip"), date_22], 215),
        ],
    );
}

#[test]
fn appendix_c_5_responses_without_huffman() {
    check_responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
         3d31",
    ]);
}

#[test]
fn appendix_c_6_responses_with_huffman() {
    check_responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}

#[test]
fn entries_inserted_after_the_attach_are_exact() {
    let mut decoder = decoder();
    decoder.taint();
    // Index 62 was inserted before; what is inserted here takes its place.
    let fields = decode(&mut decoder, &hex("82 be bf 7f00 01 61 41 01 62 be bf c0")).unwrap();
    assert_eq!(fields, [":method: GET", "?", "?", "?", ":authority: b", ":authority: b", "?", "?"]);
    let fields = decode(&mut decoder, &hex("be bf 40 0163 0164 be bf")).unwrap();
    assert_eq!(fields, [":authority: b", "?", "c: d", "c: d", ":authority: b"]);
    // An emptied table is known again.
    assert_eq!(decode(&mut decoder, &hex("20 3fe11f be")), Err(Error::Index));
}

#[test]
fn faults() {
    let check = |block: &str, error| assert_eq!(decode(&mut decoder(), &hex(block)), Err(error), "{block}");
    check("80", Error::Index);
    check("be", Error::Index);
    check("40", Error::Truncated);
    check("41 03 6161", Error::Truncated);
    check("41 ff ffff ffff ff0f", Error::Integer);
    check("41 81 ff", Error::Huffman);
    check("82 20", Error::TableSize);
    check("3fe2 1f", Error::TableSize);
    let mut allowed = decoder();
    allowed.allow(8192);
    assert_eq!(decode(&mut allowed, &hex("3fe2 1f")), Ok(vec![]));
}

#[test]
fn a_list_is_cut_at_its_limit_and_the_table_is_not() {
    let mut decoder = decoder();
    // A block of two kilobytes that stands for megabytes.
    let mut bomb = hex("40 0161 7fe906"); // A value of 127 + 0x69 + 0x06 * 128 = 1000 bytes.
    bomb.extend(vec![b'x'; 1000]);
    bomb.extend(vec![0xbe; 2000]);
    bomb.extend(hex("41 0162"));
    let mut seen = 0;
    let extent = decoder.decode(&bomb, 10_330, |_| seen += 1);
    assert_eq!((extent, seen), (Ok(Extent::Cut), 10));
    assert_eq!(decode(&mut decoder, &[0xbe]).unwrap(), [":authority: b"]);
}

#[test]
fn what_nobody_wants_is_not_held() {
    let mut decoder = Decoder::new(HARD_LIMIT, |name| name == b":authority");
    // cookie: secret, twice by name; then :authority, and all of them by index.
    let block = hex("60 06 736563726574 7e 02 6161 41 0162 be bf c0 86");
    let fields = decode(&mut decoder, &block).unwrap();
    assert_eq!(fields, [":authority: b", ":authority: b", ":scheme: http"]);
    assert!(!format!("{:?}", decoder.table).contains("115, 101, 99"));
}

#[test]
fn a_table_above_the_hard_limit_forgets_its_oldest() {
    let mut decoder = Decoder::new(100, |_| true);
    decoder.allow_any();
    decode(&mut decoder, &hex("3fe1 1f 40 0161 0130 40 0161 0131 40 0161 0132")).unwrap();
    assert_eq!(decode(&mut decoder, &hex("be bf c0")).unwrap(), ["a: 2", "a: 1", "?"]);
}

/// Names that are in the static table, names that come again, values of every byte.
fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, u8)> {
    let names: Vec<Vec<u8>> = table::STATIC.iter().map(|(name, _)| name.as_bytes().to_vec()).collect();
    let values: Vec<Vec<u8>> = table::STATIC.iter().map(|(_, value)| value.as_bytes().to_vec()).collect();
    let name = prop_oneof![
        prop::sample::select(names),
        "x-[a-c]{1,2}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..20),
    ];
    let value = prop_oneof![
        prop::sample::select(values),
        "[a-c]{0,2}".prop_map(String::into_bytes),
        "[ -~]{0,100}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..60),
        prop::collection::vec(any::<u8>(), 0..5000),
    ];
    let flags = prop::sample::select(vec![
        0,
        Encoder::BEST_FORMAT,
        Encoder::WITH_INDEXING,
        Encoder::WITH_INDEXING | Encoder::HUFFMAN_NAME | Encoder::HUFFMAN_VALUE,
        Encoder::HUFFMAN_VALUE,
        Encoder::NEVER_INDEXED | Encoder::HUFFMAN_NAME,
    ]);
    (name, value, flags)
}

fn lines(fields: &[(Vec<u8>, Vec<u8>, u8)]) -> Vec<String> {
    let line = |(name, value, _): &(Vec<u8>, Vec<u8>, u8)| {
        format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    };
    fields.iter().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// About ten blocks a case.
    #[test]
    fn round_trips(blocks in prop::collection::vec((prop::collection::vec(field(), 0..12), prop::option::weighted(0.1, 0_u32..4097)), 1..20)) {
        let (mut encoder, mut decoder) = (Encoder::default(), decoder());
        for (fields, resize) in blocks {
            let mut block = Vec::new();
            if let Some(size) = resize {
                encoder.update_max_dynamic_size(size, &mut block).unwrap();
            }
            for field in &fields {
                encoder.encode(field.clone(), &mut block).unwrap();
            }
            prop_assert_eq!(decode(&mut decoder, &block), Ok(lines(&fields)));
            prop_assert!(!decoder.is_incomplete());
        }
    }

    /// A decoder that missed some blocks knows less than one that did not, and nothing else.
    #[test]
    fn what_is_known_after_a_loss_is_right(
        blocks in prop::collection::vec((prop::collection::vec(field(), 0..8), any::<bool>()), 1..20)
    ) {
        let (mut encoder, mut decoder) = (Encoder::default(), decoder());
        for (fields, seen) in blocks {
            let mut block = Vec::new();
            for field in &fields {
                encoder.encode(field.clone(), &mut block).unwrap();
            }
            if !seen {
                decoder.taint();
                continue;
            }
            let decoded = decode(&mut decoder, &block).unwrap();
            let expected = lines(&fields);
            prop_assert_eq!(decoded.len(), expected.len());
            for (found, expected) in decoded.iter().zip(&expected) {
                prop_assert!(found == expected || found == "?", "{} for {}", found, expected);
            }
        }
    }

    #[test]
    fn garbage(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut decoder = Decoder::new(1024, |name| name.len() < 4);
        decoder.allow_any();
        for block in blocks {
            if decoder.decode(&block, 4096, |_| {}).is_err() {
                decoder.taint();
            }
            prop_assert!(decoder.buffered() <= 16 * 1024);
        }
    }
}
