use super::*;

fn parse(command_line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(command_line.split_whitespace())
}

#[track_caller]
fn check_refused(command_line: &str) {
    let error = parse(command_line).unwrap_err();
    assert!(error.use_stderr(), "{command_line}: {error}");
}

#[test]
fn the_contract() {
    Cli::command().debug_assert();
    for line in [
        "honeyguide run",
        "honeyguide run --config f.yaml --pid 1 --pid 2 --port 80,8080 --port 3000-3999 --exe nginx --exe /opt/*/x --all",
        "honeyguide run --otlp http://c:4318 --otlp-protocol http/json --out d --print spans --duration 10s",
        "honeyguide run --otlp c:4317 --otlp-protocol grpc",
        "honeyguide attach 7 --duration 10s --print json --out d --otlp http://c:4318",
        "honeyguide flame --pid 7 --duration 10s -o f.svg",
        "honeyguide flame --route /orders/{id} --port 80 -o f.folded",
        "honeyguide flame --route /a --diff slow,fast -o f.html",
        "honeyguide flame --trace 4bf92f3577b34da6a3ce929d0e0e4736 -o f.svg",
        "honeyguide flame --diff a.folded b.folded -o f.svg",
        "honeyguide record -o f.hgr --pid 7 --duration 500ms",
        "honeyguide replay f.hgr --out d --print none",
        "honeyguide doctor",
        "honeyguide check-config f.yaml",
        "honeyguide completions bash",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn wrong_usage() {
    for line in [
        "honeyguide",
        "honeyguide fly",
        "honeyguide run --pid 0",
        "honeyguide run --pid x",
        "honeyguide run --port 0",
        "honeyguide run --port 9-8",
        "honeyguide run --exe a[",
        "honeyguide run --otlp collector",
        "honeyguide run --otlp-protocol http",
        "honeyguide run --print everything",
        "honeyguide run --duration 10",
        "honeyguide run --duration 0s",
        "honeyguide attach",
        "honeyguide flame",
        "honeyguide flame -o f.txt",
        "honeyguide flame -o f.svg --route",
        "honeyguide flame -o f.svg --trace 4bf9",
        "honeyguide flame -o f.svg --route /a --trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "honeyguide flame -o f.svg --diff a b c",
        "honeyguide record",
        "honeyguide completions tcsh",
    ] {
        check_refused(line);
    }
}

/// What a comparison of flame's goes with is said by the command itself.
#[test]
fn comparisons_that_make_no_sense() {
    for (line, expect) in [
        ("honeyguide flame -o f.svg --diff a", "two files of folded stacks are compared, or `slow,fast`"),
        ("honeyguide flame -o f.folded --diff a b", "has to end in .svg or .html"),
        ("honeyguide flame -o f.pb.gz --route /a --diff slow,fast", "has to end in .svg or .html"),
        ("honeyguide flame -o f.svg --diff slow,fast", "--route is missing"),
        ("honeyguide flame -o f.svg --diff a b --pid 1", "records nothing"),
        ("honeyguide flame -o f.svg --diff a b --route /a", "records nothing"),
    ] {
        let error = parse(line).unwrap().command.execute().unwrap_err();
        assert!(error.to_string().contains(expect), "{line}: {error}");
        assert_eq!(format!("{:?}", exit_code(&error)), format!("{:?}", ExitCode::from(2)), "{line}");
    }
}

#[test]
fn the_version_has_the_package_version_first() {
    assert!(VERSION.starts_with(env!("CARGO_PKG_VERSION")), "{VERSION}");
    let error = parse("honeyguide --version").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DisplayVersion);
    assert_eq!(error.to_string(), format!("honeyguide {VERSION}\n"));
}

#[test]
fn exit_codes_by_what_went_wrong() {
    let code = |error: anyhow::Error| format!("{:?}", exit_code(&error));
    let expect = |code: u8| format!("{:?}", ExitCode::from(code));
    assert_eq!(code(anyhow::anyhow!("x")), expect(1));
    let unsupported = anyhow::Error::from(Unsupported::new("no BTF", "get one")).context("loading");
    assert_eq!(code(unsupported), expect(3));
    let config = ConfigError { file: "f".into(), problems: Vec::new() };
    assert_eq!(code(config.into()), expect(2));
}

/// The manifests speak to the binary: what they say must be what it takes.
mod deploy {
    use super::*;
    use crate::config;

    const DAEMONSET: &str = include_str!("../../../deploy/kubernetes/daemonset.yaml");
    const UNIT: &str = include_str!("../../../deploy/systemd/honeyguide.service");
    const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");

    fn example() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/honeyguide.yaml")
    }

    #[track_caller]
    fn check_words<'a>(words: impl IntoIterator<Item = &'a str>) {
        let words: Vec<&str> = words.into_iter().collect();
        if let Err(error) = Cli::try_parse_from(&words) {
            panic!("{words:?}: {error}");
        }
    }

    #[test]
    fn the_daemonset_uses_flags_there_are() {
        let lists: Vec<&str> = DAEMONSET
            .lines()
            .filter_map(|line| line.trim().strip_prefix("args: [")?.strip_suffix(']'))
            .collect();
        assert!(!lists.is_empty());
        for list in lists {
            let words = list.split(", ").map(|word| word.trim_matches('"'));
            check_words(std::iter::once("honeyguide").chain(words));
        }
    }

    #[test]
    fn the_unit_uses_flags_there_are() {
        let commands: Vec<&str> = UNIT
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart=").or(line.strip_prefix("ExecStartPre=")))
            .collect();
        assert!(!commands.is_empty());
        for command in commands {
            check_words(command.split_whitespace());
        }
    }

    #[test]
    fn the_image_uses_flags_there_are() {
        let list = |key: &str| {
            let line = DOCKERFILE.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            let words: Vec<String> = serde_json::from_str(line).unwrap();
            words
        };
        let words: Vec<String> = list("ENTRYPOINT ").into_iter().chain(list("CMD ")).collect();
        check_words(words.iter().map(String::as_str));
    }

    #[test]
    fn the_example_configuration_and_the_daemonsets_have_no_problems() {
        config::read_file(&example()).unwrap();
        let start = DAEMONSET.find("  honeyguide.yaml: |\n").unwrap();
        let body: String = DAEMONSET[start..]
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("    ") || line.is_empty())
            .map(|line| format!("{}\n", line.get(4..).unwrap_or_default()))
            .collect();
        assert!(body.contains("otlp:"), "{body}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), body).unwrap();
        config::read_file(file.path()).unwrap();
    }

    /// Every key of the example is described, and everything the example leaves commented out is true as well.
    #[test]
    fn the_example_with_all_its_comments_taken_off_has_no_problems() {
        let text = std::fs::read_to_string(example()).unwrap();
        let all: String = text
            .lines()
            .map(|line| match line.strip_prefix("#: ") {
                Some(setting) => format!("{setting}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), all).unwrap();
        if let Err(error) = config::read_file(file.path()) {
            panic!("{error}");
        }
    }
}
