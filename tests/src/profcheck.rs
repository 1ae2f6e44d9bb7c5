//! Whether profiles are what the protocol asks for: the rules that stand as MUST and SHOULD in
//! `opentelemetry/proto/profiles/v1development/profiles.proto`, on the lines of `profiles.jsonl`.

use std::{collections::HashSet, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The tables of the dictionary, and what may point into each.
const TABLES: [&str; 7] = [
    "mappingTable",
    "locationTable",
    "functionTable",
    "linkTable",
    "stringTable",
    "attributeTable",
    "stackTable",
];

/// What a file of profiles holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub messages: usize,
    pub profiles: usize,
    pub samples: usize,
    /// Samples that name a span.
    pub linked: usize,
    /// Sum of all values.
    pub value: i64,
}

/// Checks the `profiles.jsonl` of a directory; without one there are no profiles.
///
/// # Errors
/// As for [`check_file`].
pub fn check_directory(directory: &Path) -> Result<Tally> {
    let path = directory.join("profiles.jsonl");
    if path.exists() { check_file(&path) } else { Ok(Tally::default()) }
}

/// Checks every line of a file.
///
/// # Errors
/// When the file cannot be read or a line breaks a rule, with the line and the rule.
pub fn check_file(path: &Path) -> Result<Tally> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut tally = Tally::default();
    check_lines(&text, &mut tally).with_context(|| path.display().to_string())?;
    Ok(tally)
}

/// Checks a message a line.
///
/// # Errors
/// When a line breaks a rule, with the line and the rule.
pub fn check_lines(text: &str, tally: &mut Tally) -> Result<()> {
    for (index, line) in text.lines().enumerate() {
        let data: Value =
            serde_json::from_str(line).with_context(|| format!("line {} is no JSON", index + 1))?;
        check(&data, tally).with_context(|| format!("line {}", index + 1))?;
    }
    Ok(())
}

/// Checks one `ProfilesData` message.
///
/// # Errors
/// The rule that is broken.
pub fn check(data: &Value, tally: &mut Tally) -> Result<()> {
    let mut dictionary = Dictionary::new(&data["dictionary"])?;
    let resources = list(data, "resourceProfiles");
    ensure!(!resources.is_empty(), "no resource profiles");
    tally.messages += 1;
    for resource in resources {
        let scopes = list(resource, "scopeProfiles");
        ensure!(!scopes.is_empty(), "resource profiles without scope profiles");
        for scope in scopes {
            let profiles = list(scope, "profiles");
            ensure!(!profiles.is_empty(), "scope profiles without profiles");
            for profile in profiles {
                dictionary.check_profile(profile, tally)?;
            }
        }
    }
    dictionary.check_tables()
}

struct Dictionary<'a> {
    tables: [&'a [Value]; TABLES.len()],
    used: [HashSet<usize>; TABLES.len()],
}

impl<'a> Dictionary<'a> {
    fn new(dictionary: &'a Value) -> Result<Self> {
        let tables = TABLES.map(|name| list(dictionary, name));
        for (name, table) in TABLES.iter().zip(tables) {
            let zero = table.first().with_context(|| format!("{name} has no entry 0"))?;
            let empty = match zero {
                Value::Object(fields) => fields.is_empty(),
                Value::String(text) => text.is_empty(),
                _ => false,
            };
            ensure!(empty, "{name}[0] is not the zero value: {zero}");
            let mut seen = HashSet::new();
            for entry in table {
                ensure!(seen.insert(entry.to_string()), "{name} holds {entry} twice");
            }
        }
        Ok(Self { tables, used: std::array::from_fn(|_| HashSet::from([0])) })
    }

    /// Follows `index` into a table, where it must lead somewhere.
    fn follow(&mut self, name: &str, index: &Value) -> Result<usize> {
        let table = TABLES.iter().position(|table| *table == name).context("no such table")?;
        let index = match index {
            Value::Null => 0,
            other => other.as_u64().with_context(|| format!("{other} is no index into {name}"))?,
        };
        let index = usize::try_from(index)?;
        ensure!(index < self.tables[table].len(), "{index} is beyond {name}");
        self.used[table].insert(index);
        Ok(index)
    }

    fn check_profile(&mut self, profile: &Value, tally: &mut Tally) -> Result<()> {
        tally.profiles += 1;
        for kind in ["sampleType", "periodType"] {
            ensure!(self.follow("stringTable", &profile[kind]["typeStrindex"])? > 0, "no {kind}");
            ensure!(self.follow("stringTable", &profile[kind]["unitStrindex"])? > 0, "no unit of {kind}");
        }
        self.attributes(profile)?;
        let start = long(profile, "timeUnixNano")?;
        let end = start + long(profile, "durationNano")?;
        let mut identities = HashSet::new();
        for sample in list(profile, "samples") {
            tally.samples += 1;
            self.follow("stackTable", &sample["stackIndex"])?;
            tally.linked += usize::from(self.follow("linkTable", &sample["linkIndex"])? > 0);
            self.attributes(sample)?;
            let mut attributes: Vec<_> = list(sample, "attributeIndices").iter().map(Value::as_u64).collect();
            attributes.sort_unstable();
            let identity = format!("{} {attributes:?} {}", sample["stackIndex"], sample["linkIndex"]);
            ensure!(identities.insert(identity), "two samples of one identity: {sample}");
            let (values, times) = (list(sample, "values"), list(sample, "timestampsUnixNano"));
            ensure!(!values.is_empty() && values.len() == times.len(), "values and times differ: {sample}");
            for time in times {
                let time = number(time)?;
                ensure!((start..end).contains(&time), "{time} is outside of {start}..{end}");
            }
            for value in values {
                tally.value += number(value)?;
            }
        }
        Ok(())
    }

    /// What samples lead to; then nothing may be left over.
    fn check_tables(&mut self) -> Result<()> {
        let [mappings, locations, functions, links, _, attributes, stacks] = self.tables;
        for stack in &stacks[1..] {
            let places = list(stack, "locationIndices");
            ensure!(!places.is_empty(), "an empty stack that is not entry 0");
            for place in places {
                ensure!(self.follow("locationTable", place)? > 0, "a stack with location 0");
            }
        }
        for mapping in &mappings[1..] {
            self.check_mapping(mapping)?;
        }
        for location in &locations[1..] {
            self.check_location(location)?;
        }
        for function in &functions[1..] {
            ensure!(self.follow("stringTable", &function["nameStrindex"])? > 0, "a function without a name");
            self.follow("stringTable", &function["systemNameStrindex"])?;
            self.follow("stringTable", &function["filenameStrindex"])?;
        }
        for link in &links[1..] {
            for (key, length) in [("traceId", 32), ("spanId", 16)] {
                let id = link[key].as_str().unwrap_or_default();
                let valid = id.len() == length && id.bytes().all(|byte| byte.is_ascii_hexdigit());
                ensure!(valid && id.bytes().any(|byte| byte != b'0'), "{key} {id:?} of a link");
            }
        }
        for attribute in &attributes[1..] {
            ensure!(self.follow("stringTable", &attribute["keyStrindex"])? > 0, "an attribute without a key");
            self.follow("stringTable", &attribute["unitStrindex"])?;
        }
        for ((name, table), used) in TABLES.iter().zip(self.tables).zip(&self.used) {
            if let Some(orphan) = (0..table.len()).find(|index| !used.contains(index)) {
                bail!("nothing refers to {name}[{orphan}]: {}", table[orphan]);
            }
        }
        Ok(())
    }

    fn check_location(&mut self, location: &Value) -> Result<()> {
        let mapping = self.follow("mappingTable", &location["mappingIndex"])?;
        let kinds = self.attributes(location)?;
        ensure!(kinds.iter().any(|key| key == "profile.frame.type"), "no frame type: {location}");
        for line in list(location, "lines") {
            ensure!(self.follow("functionTable", &line["functionIndex"])? > 0, "a line without a function");
        }
        if mapping > 0 {
            let mapping = &self.tables[0][mapping];
            let address = long(location, "address")?;
            let range = long(mapping, "memoryStart")?..=long(mapping, "memoryLimit")?;
            ensure!(range.contains(&address), "{address:#x} is outside of {mapping}");
        }
        Ok(())
    }

    fn check_mapping(&mut self, mapping: &Value) -> Result<()> {
        self.follow("stringTable", &mapping["filenameStrindex"])?;
        let keys = self.attributes(mapping)?;
        let named = keys.iter().any(|key| key.starts_with("process.executable.build_id."));
        ensure!(named, "a mapping without a build id: {mapping}");
        let (start, limit) = (long(mapping, "memoryStart")?, long(mapping, "memoryLimit")?);
        ensure!(start < limit || (start == 0 && limit == 0), "a mapping without an extent: {mapping}");
        Ok(())
    }

    /// The keys of an entry's attributes, each at most once.
    fn attributes(&mut self, entry: &Value) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for index in list(entry, "attributeIndices") {
            let index = self.follow("attributeTable", index)?;
            let attribute = &self.tables[5][index];
            let key = self.follow("stringTable", &attribute["keyStrindex"])?;
            let key = self.tables[4][key].as_str().unwrap_or_default().to_owned();
            ensure!(!keys.contains(&key), "{key} twice in {entry}");
            keys.push(key);
        }
        Ok(keys)
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn long(value: &Value, key: &str) -> Result<i64> {
    match &value[key] {
        Value::Null => Ok(0),
        text => number(text),
    }
}

/// A 64-bit integer is a string in OTLP/JSON.
fn number(value: &Value) -> Result<i64> {
    let text = value.as_str().with_context(|| format!("{value} is not a string"))?;
    text.parse().with_context(|| format!("{text} is no number"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message() -> Value {
        json!({
            "resourceProfiles": [{"resource": {}, "scopeProfiles": [{"profiles": [{
                "sampleType": {"typeStrindex": 1, "unitStrindex": 2},
                "periodType": {"typeStrindex": 1, "unitStrindex": 2},
                "timeUnixNano": "100", "durationNano": "10",
                "samples": [{"stackIndex": 1, "linkIndex": 1, "values": ["7"], "timestampsUnixNano": ["109"]}],
            }]}]}],
            "dictionary": {
                "mappingTable": [{}, {"memoryStart": "16", "memoryLimit": "32", "filenameStrindex": 3, "attributeIndices": [2]}],
                "locationTable": [{}, {"mappingIndex": 1, "address": "20", "lines": [{"functionIndex": 1}], "attributeIndices": [1]}],
                "functionTable": [{}, {"nameStrindex": 4}],
                "linkTable": [{}, {"traceId": "ab".repeat(16), "spanId": "cd".repeat(8)}],
                "stringTable": ["", "cpu", "nanoseconds", "/bin/x", "main", "profile.frame.type", "process.executable.build_id.gnu"],
                "attributeTable": [{}, {"keyStrindex": 5, "value": {"stringValue": "native"}}, {"keyStrindex": 6, "value": {"stringValue": "0a"}}],
                "stackTable": [{}, {"locationIndices": [1]}],
            },
        })
    }

    #[test]
    fn a_good_message_passes() {
        let mut tally = Tally::default();
        check(&message(), &mut tally).unwrap();
        assert_eq!(tally, Tally { messages: 1, profiles: 1, samples: 1, linked: 1, value: 7 });
    }

    #[test]
    fn each_broken_rule_is_named() {
        let profile = "/resourceProfiles/0/scopeProfiles/0/profiles/0";
        let broken = [
            ("/dictionary/stringTable/0", json!("x"), "stringTable[0] is not the zero value"),
            ("/dictionary/stringTable/3", json!("main"), "twice"),
            ("/dictionary/stackTable/1/locationIndices/0", json!(9), "9 is beyond locationTable"),
            ("/dictionary/locationTable/1/address", json!("99"), "outside"),
            ("/dictionary/locationTable/1/attributeIndices", json!([]), "no frame type"),
            ("/dictionary/locationTable/1/lines", json!([]), "nothing refers to functionTable[1]"),
            ("/dictionary/mappingTable/1/attributeIndices", json!([]), "without a build id"),
            ("/dictionary/mappingTable/1/memoryLimit", json!("3"), "without an extent"),
            ("/dictionary/linkTable/1/traceId", json!([1, 2]), "traceId \"\" of a link"),
            (
                &format!("{profile}/samples/0/timestampsUnixNano/0"),
                json!("110"),
                "110 is outside of 100..110",
            ),
            (&format!("{profile}/samples/0/timestampsUnixNano/0"), json!(109), "not a string"),
            (&format!("{profile}/samples/0/values"), json!([]), "values and times differ"),
            (&format!("{profile}/samples/0/linkIndex"), json!(0), "nothing refers to linkTable[1]"),
            (&format!("{profile}/sampleType"), json!({}), "no sampleType"),
        ];
        for (path, value, expect) in broken {
            let mut data = message();
            *data.pointer_mut(path).unwrap() = value;
            let error = check(&data, &mut Tally::default()).unwrap_err().to_string();
            assert!(error.contains(expect), "{path}: {error}");
        }
    }
}
