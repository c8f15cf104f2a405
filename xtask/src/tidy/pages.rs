//! Does every link of the documents lead somewhere, and does the README lead to every page?
//!
//! Reads markdown line by line: what is in a fence or between backticks is no link. A target is a file or directory of
//! the tree, seen from the page; what follows `#` is a heading of that page, spelled as GitHub spells its anchors.
//!
//! # Knows / never knows
//! Knows pages, headings and the places of the tree. Never knows the world outside: a link to a site is not followed.

use super::{Fault, Tree};

/// The page that everybody opens first.
const DOOR: &str = "README.md";

/// Law 11: no link is broken, and every page of `docs` can be reached from the README.
pub(super) fn check(tree: &Tree, faults: &mut Vec<Fault>) {
    let pages = || tree.texts.iter().filter(|(path, _)| path.ends_with(".md"));
    for (path, text) in pages() {
        for (line, target) in links(text) {
            if let Some((what, instead)) = broken(tree, path, text, target) {
                faults.push(Fault { file: path.clone(), line, what, instead });
            }
        }
    }
    let Some(door) = tree.texts.get(DOOR) else { return };
    let linked: Vec<String> =
        links(door).into_iter().filter_map(|(_, target)| resolve(DOOR, file_of(target))).collect();
    for (path, _) in pages().filter(|(path, _)| path.starts_with("docs/")) {
        if !linked.contains(path) {
            faults.push(Fault {
                file: path.clone(),
                line: 1,
                what: format!("nothing in {DOOR} links to this page"),
                instead: "add it under `More` with what it is for".to_owned(),
            });
        }
    }
}

fn broken(tree: &Tree, page: &str, text: &str, target: &str) -> Option<(String, String)> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let file = file_of(target);
    let path = if file.is_empty() { Some(page.to_owned()) } else { resolve(page, file) };
    let there = |path: &String| tree.texts.contains_key(path) || tree.places.contains(path);
    let Some(path) = path.filter(there) else {
        return Some((
            format!("the link to `{target}` leads nowhere"),
            "link to a file of the tree, from the directory of this page".to_owned(),
        ));
    };
    let anchor = target.split_once('#').map(|(_, anchor)| anchor)?;
    let other = if path == page { Some(text) } else { tree.texts.get(&path).map(String::as_str) };
    let anchors = anchors(other.unwrap_or_default());
    (!anchors.iter().any(|known| known == anchor)).then(|| {
        (format!("`{path}` has no heading `#{anchor}`"), format!("one of: {}", anchors.join(", ")))
    })
}

fn file_of(target: &str) -> &str {
    target.split('#').next().unwrap_or_default()
}

/// The path from the root of the tree; none if it leads out of it.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The lines outside fences, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// Targets of `[text](target)`, with the lines they are in.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (line, text) in prose(text) {
        let mut rest = text;
        while let Some(at) = rest.find("](") {
            // an odd number of backticks before it: inside code
            let code = rest[..at].matches('`').count() % 2 == 1;
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            if code {
                // what is left opens inside the same code
                rest = rest.find('`').map_or("", |close| &rest[close + 1..]);
                continue;
            }
            found.push((line, rest[..end].trim()));
            rest = &rest[end..];
        }
    }
    found
}

/// The anchors of a page's headings: lower case, blanks as hyphens, marks left out, a number from the second on.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        let depth = line.len() - title.len();
        if !(1..=6).contains(&depth) || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let slug: String = kept.flat_map(char::to_lowercase).collect::<String>().replace(' ', "-");
        let again = (1..).map(|n| format!("{slug}-{n}"));
        let free = std::iter::once(slug.clone()).chain(again).find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(pages: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        tree.places.insert("crates/standpipe/examples".to_owned());
        for (path, text) in pages {
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
        }
        tree
    }

    #[track_caller]
    fn said(pages: &[(&str, &str)]) -> Vec<String> {
        let mut faults = Vec::new();
        check(&tree(pages), &mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    const DOC: (&str, &str) = (
        "docs/a.md",
        "# `--json`: A & B\n## Same\n## Same\n[up](../README.md#top) [me](#same-1)\n",
    );

    #[test]
    fn links_that_lead_somewhere_pass() {
        let door = "# Top\n[a](docs/a.md#--json-a--b) [b](docs/a.md#same-1) [dir](crates/standpipe/examples/)\n\
                    `[x](gone.md)` [site](https://example.org/x#y)\n```text\n[y](gone.md)\n# no heading\n```\n";
        assert_eq!(said(&[("README.md", door), DOC]), [""; 0]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_fault() {
        for (link, complaint) in [
            ("docs/b.md", "README.md:3: the link to `docs/b.md` leads nowhere"),
            ("../docs/a.md", "README.md:3: the link to `../docs/a.md` leads nowhere"),
            ("docs/a.md#other", "README.md:3: `docs/a.md` has no heading `#other`"),
            ("#bottom", "README.md:3: `README.md` has no heading `#bottom`"),
        ] {
            let door = format!("# Top\n[a](docs/a.md)\n`code` [x]({link})\n");
            let said = said(&[("README.md", &door), DOC]);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].starts_with(complaint), "{said:?}");
        }
    }

    #[test]
    fn a_page_that_the_readme_does_not_link_is_a_fault() {
        let said = said(&[("README.md", "# Top\n`[a](docs/a.md)`\n"), DOC]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("docs/a.md:1: nothing in README.md links to this page"),
            "{said:?}"
        );
    }
}
