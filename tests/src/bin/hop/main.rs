//! ```text
//! hop forward ADDRESS NEXT     asks NEXT for each request
//! hop record ADDRESS FILE      keeps each request
//! hop drive ADDRESS COUNT      sends COUNT requests
//! ```

use std::{env, path::Path};

use anyhow::{Result, bail};
use honeyguide_tests::hops;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["forward", address, next] => hops::forward(address, next),
        ["record", address, file] => hops::record(address, Path::new(file)),
        ["drive", address, count] => hops::drive(address, count.parse()?),
        _ => bail!("usage: hop forward ADDRESS NEXT, hop record ADDRESS FILE, hop drive ADDRESS COUNT"),
    }
}
