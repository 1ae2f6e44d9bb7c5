//! Two files of folded stacks as one tree to compare.

use std::{fs::File, io::BufReader, path::Path};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{Caption, Graph, Unit, Weights, read_folded};

/// Reads both, and says in the caption which is which.
///
/// # Errors
/// Where one of them cannot be read, is not folded stacks or holds none, with its name.
pub fn compare_files(before: &Path, now: &Path) -> Result<(Graph, Caption)> {
    let mut graph = Graph::default();
    read(before, &mut graph, Weights::before)?;
    read(now, &mut graph, Weights::now)?;
    let whole = graph.root().total;
    for (path, weight) in [(before, whole.before), (now, whole.now)] {
        ensure!(weight > 0, "{} holds no stacks", path.display());
    }
    graph.sort();
    let (before, now) = names(before, now);
    let title = format!("{now} against {before}");
    Ok((graph, Caption { title, unit: Unit::Unknown, compared: Some((before, now)) }))
}

fn read(path: &Path, graph: &mut Graph, weigh: impl Fn(u64) -> Weights) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    read_folded(BufReader::new(file), graph, weigh)
        .map_err(|error| anyhow!("{} is not a file of folded stacks: {error}", path.display()))
}

/// By the files' own names where these differ.
fn names(before: &Path, now: &Path) -> (String, String) {
    let own = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (short, other) = (own(before), own(now));
    if short == other { (before.display().to_string(), now.display().to_string()) } else { (short, other) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn both_weights_are_in_the_graph() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a.folded"), directory.path().join("b.folded"));
        fs::write(&a, "main;f 3\nmain;g 1\n").unwrap();
        fs::write(&b, "main;f 10\n").unwrap();
        let (graph, caption) = compare_files(&a, &b).unwrap();
        assert_eq!(graph.root().total, Weights { now: 10, before: 4 });
        assert_eq!(caption.title, "b against a");
        assert_eq!(caption.compared, Some(("a".to_owned(), "b".to_owned())));
        let (_, caption) = compare_files(&a, &a).unwrap();
        assert_eq!(caption.compared, Some((a.display().to_string(), a.display().to_string())));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_files_name() {
        let directory = tempfile::tempdir().unwrap();
        let good = directory.path().join("good.folded");
        fs::write(&good, "main 1\n").unwrap();
        for (content, expect) in [
            (Some("main;f 1\nmain\n"), "is not a file of folded stacks: line 2: there is no weight"),
            (Some("\n# nothing\n"), "holds no stacks"),
            (Some("main 0\n"), "holds no stacks"),
            (None, "cannot read"),
        ] {
            let other = directory.path().join("other.folded");
            let _ = fs::remove_file(&other);
            if let Some(content) = content {
                fs::write(&other, content).unwrap();
            }
            for error in
                [compare_files(&other, &good).unwrap_err(), compare_files(&good, &other).unwrap_err()]
            {
                let text = error.to_string();
                assert!(text.contains(expect) && text.contains("other.folded"), "{text}");
            }
        }
    }
}
