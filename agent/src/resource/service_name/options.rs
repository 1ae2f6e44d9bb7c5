//! Just enough of command-line reading to find the operand that names the program.

/// The position of the first argument that is neither an option nor the value of one of `with_value`.
/// `--` ends the options.
pub(super) fn first_operand(arguments: &[String], with_value: &[&str]) -> Option<usize> {
    let mut at = 0;
    loop {
        let argument = arguments.get(at)?.as_str();
        if argument == "--" {
            return (at + 1 < arguments.len()).then_some(at + 1);
        }
        if !argument.starts_with('-') || argument == "-" {
            return Some(at);
        }
        at += if with_value.contains(&argument) { 2 } else { 1 };
    }
}

/// The value of the first of `names` that is given: `--app shop`, `--app=shop`, `-A shop`.
pub(super) fn value<'a>(arguments: &'a [String], names: &[&str]) -> Option<&'a str> {
    arguments.iter().enumerate().find_map(|(at, argument)| {
        names.iter().find_map(|name| {
            let rest = argument.strip_prefix(name)?;
            if rest.is_empty() {
                return arguments.get(at + 1).map(String::as_str);
            }
            name.starts_with("--").then(|| rest.strip_prefix('='))?
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_first_operand() {
        let find = |text| first_operand(&words(text), &["-r", "--import"]);
        assert_eq!(find("-x --import y z"), Some(3));
        assert_eq!(find("--import=y z"), Some(1));
        assert_eq!(find("-r"), None);
        assert_eq!(find("-- -z"), Some(1));
        assert_eq!(find("--"), None);
        assert_eq!(find("-"), Some(0));
    }

    #[test]
    fn the_value_of_an_option() {
        let arguments = words("run --app=shop -A other --last");
        assert_eq!(value(&arguments, &["--app"]), Some("shop"));
        assert_eq!(value(&arguments, &["-A"]), Some("other"));
        assert_eq!(value(&arguments, &["--last"]), None);
        assert_eq!(value(&arguments, &["--ap"]), None);
    }
}
