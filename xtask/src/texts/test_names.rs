//! Names of tests: short enough for one line of a report.

use super::Found;
use crate::files::File;

/// Characters in the longest name.
const LONGEST: usize = 60;

/// Tests in Rust and Python whose name is too long.
pub(super) fn check(file: &File) -> Found {
    let names = if file.module().is_some() {
        rust(file)
    } else if file.path.ends_with(".py") {
        python(file)
    } else {
        Vec::new()
    };
    let long = names.into_iter().filter(|(_, name)| name.len() > LONGEST);
    long.map(|(line, name)| {
        let length = name.len();
        (line, format!("`{name}` has {length} characters: name the behaviour in at most {LONGEST}"))
    })
    .collect()
}

fn python(file: &File) -> Vec<(usize, &str)> {
    let names = file.lines().filter_map(|(number, line)| Some((number, name_after(line, "def ")?)));
    names.filter(|(_, name)| name.starts_with("test_")).collect()
}

/// Functions under an attribute whose path ends in `test`.
fn rust(file: &File) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut is_test = false;
    for (number, line) in file.lines() {
        let trimmed = line.trim_start();
        if let Some(attribute) = trimmed.strip_prefix("#[") {
            let path = attribute.split(['(', ']', ' ']).next().unwrap_or_default();
            is_test |= path.rsplit("::").next() == Some("test");
        } else if let Some(name) = name_after(line, "fn ")
            && std::mem::take(&mut is_test)
        {
            names.push((number, name));
        }
    }
    names
}

/// The name that a line declares after a keyword.
fn name_after<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix(keyword)?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::file;

    #[test]
    fn only_long_names_of_tests_are_found() {
        let long = "x".repeat(61);
        let fits = "x".repeat(60);
        let rust = format!(
            "#[test]\nfn {fits}() {{}}\n#[tokio::test(start_paused = true)]\n#[cfg(unix)]\nasync fn {long}() {{}}\n\
             fn {long}() {{}}\n#[cfg(test)]\nfn {long}() {{}}\n"
        );
        let lines: Vec<_> = check(&file("a.rs", &rust)).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [5]);
        let python = format!("def {long}():\n    async def test_{long}(a):\ndef test_y():\n");
        let lines: Vec<_> =
            check(&file("a.py", &python)).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2]);
    }
}
