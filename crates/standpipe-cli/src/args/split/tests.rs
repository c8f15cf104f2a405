//! A table of constructs, and the word of real shells on thousands of generated texts.

use super::*;

mod oracle;

#[track_caller]
fn check(text: &str, pieces: &[&str]) {
    let cut = split(OsStr::new(text)).map_err(|error| error.what);
    let expected = pieces.iter().map(OsString::from).collect();
    assert_eq!(cut, Ok(expected), "{text}");
}

#[track_caller]
fn refused(text: &str, reason: &str) {
    match split(OsStr::new(text)) {
        Ok(pieces) => panic!("{text:?} is cut into {pieces:?}"),
        Err(error) => assert!(error.what.contains(reason), "{text:?}: {}", error.what),
    }
}

#[test]
fn top_level_pipes_are_cut() {
    check("a", &["a"]);
    check("a | b", &["a", "b"]);
    check("a|b|c", &["a", "b", "c"]);
    check("  a  |\tb -x ", &["a", "b -x"]);
    check("A=1 B=2 a | b", &["A=1 B=2 a", "b"]);
    check("a b=c#d | e", &["a b=c#d", "e"]);
    check(
        "pg_dump shop | zstd -3 | ssh backup \"cat > shop.zst\"",
        &["pg_dump shop", "zstd -3", "ssh backup \"cat > shop.zst\""],
    );
    check("a } | b { c", &["a }", "b { c"]);
    check("{a,b} | c", &["{a,b}", "c"]);
    check("a if | b while", &["a if", "b while"]);
    check("\"if\" a | \\case", &["\"if\" a", "\\case"]);
    check("a a[1] [ b ] | [ x ]", &["a a[1] [ b ]", "[ x ]"]);
    check("a !x | b", &["a !x", "b"]);
    check("a é | b", &["a é", "b"]);
}

/// Only what is certain is told: a wrong name would be looked for in vain.
#[test]
fn files_that_a_piece_writes_its_output_to() {
    let check = |piece: &str, expected: &[(&str, bool)]| {
        let found = redirected(OsStr::new(piece));
        let found: Vec<_> = found.iter().map(|one| (one.file.as_str(), one.appends)).collect();
        assert_eq!(found, expected, "{piece}");
    };
    check("gzip -9 > y.gz", &[("y.gz", false)]);
    check("gzip -9 >y.gz 2>log", &[("y.gz", false)]);
    check("gzip 1> a/b-c_d,e:f@g%h+i", &[("a/b-c_d,e:f@g%h+i", false)]);
    check("> y gzip", &[("y", false)]);
    check("gzip >>y", &[("y", true)]);
    check("gzip >| y", &[("y", false)]);
    check("{ a > z; b; } > y", &[("y", false)]);
    check("(cd d; a > z) >> y", &[("y", true)]);
    check("gzip -9>y", &[("y", false)]);
    check("(a)2> y", &[]);
    check("a > x > y", &[("x", false), ("y", false)]);
    for none in [
        "gzip",
        "gzip 2> log",
        "gzip 2>>log",
        "gzip 12> x",
        "gzip 2>&1",
        "gzip >&2",
        "gzip > /dev/null",
        "gzip > \"y z\"",
        "gzip > 'y'",
        "gzip > $y",
        "gzip > ~/y",
        "gzip > y*",
        "gzip > y?",
        "gzip > {y,z}",
        "gzip > y\\ z",
        "gzip > `y`",
        "gzip > >(cat)",
        "gzip '> y'",
        "gzip \\> y",
        "gzip < y",
        "gzip <> y",
        "(a > y)",
        "{ a > y; }",
        "echo $(a > y)",
        "ssh h 'cat > y'",
        "a; b > y",
        "a && b > y",
        "gzip > y &",
        "gzip > é",
    ] {
        check(none, &[]);
    }
}

#[test]
fn quoted_pipes_are_left() {
    check(r"a '|' | b", &["a '|'", "b"]);
    check(r#"a "|" | b"#, &[r#"a "|""#, "b"]);
    check(r"a \| b", &[r"a \| b"]);
    check(r"a \\| b", &[r"a \\", "b"]);
    check(r"a\ | b", &[r"a\ ", "b"]);
    check(r#"a "\"|" | b"#, &[r#"a "\"|""#, "b"]);
    check(r"a '\' | b", &[r"a '\'", "b"]);
    check("a 'x\ny' | b", &["a 'x\ny'", "b"]);
    check("a 'x'\"|\"\\|y | b", &["a 'x'\"|\"\\|y", "b"]);
    check("a \"'\" | b \"'\"", &["a \"'\"", "b \"'\""]);
    check("a '\"' | b '\"'", &["a '\"'", "b '\"'"]);
    check("a '#' '&&' ';' | b", &["a '#' '&&' ';'", "b"]);
    check("a $'x|y' | b", &["a $'x|y'", "b"]);
    check(r"a $'x\\' | b", &[r"a $'x\\'", "b"]);
    check("a $\"x|y\" | b", &["a $\"x|y\"", "b"]);
    check("a \"$'|'\" | b", &["a \"$'|'\"", "b"]);
}

#[test]
fn brackets_are_left_whole() {
    check("a $(b | c) | d", &["a $(b | c)", "d"]);
    check("a \"$(b \"|\" c)\" | d", &["a \"$(b \"|\" c)\"", "d"]);
    check("a $(b $(c | d) ')') | e", &["a $(b $(c | d) ')')", "e"]);
    check("a `b | c` | d", &["a `b | c`", "d"]);
    check(r"a `b \`c | d\`` | e", &[r"a `b \`c | d\``", "e"]);
    check("a \"`b | c`\" | d", &["a \"`b | c`\"", "d"]);
    check("(a | b; c && d) | e", &["(a | b; c && d)", "e"]);
    check("(a || b & c) 2>&1 | e", &["(a || b & c) 2>&1", "e"]);
    check("( (a) ) | e", &["( (a) )", "e"]);
    check("{ a | b; c; } | d", &["{ a | b; c; }", "d"]);
    check("{ a; { b; }; } >f | d", &["{ a; { b; }; } >f", "d"]);
    check("(while read x; do { a; }; done) | d", &["(while read x; do { a; }; done)", "d"]);
    check("(if a; then (b); fi) | d", &["(if a; then (b); fi)", "d"]);
    check("a ${x:-b|c} ${x#y} | d", &["a ${x:-b|c} ${x#y}", "d"]);
    check(
        "a ${#x} ${#} ${10} ${@} ${x%%.*} ${x=y} | b",
        &["a ${#x} ${#} ${10} ${@} ${x%%.*} ${x=y}", "b"],
    );
    check("a \"${x:-${y}|}\" | d", &["a \"${x:-${y}|}\"", "d"]);
    check("a $((1 | (2 << 3))) | d", &["a $((1 | (2 << 3)))", "d"]);
    check("a $$'x|' \"$$(\" | b", &["a $$'x|' \"$$(\"", "b"]);
    check("a $#x $| b", &["a $#x $", "b"]);
    check("diff <(a | b) <(c) | d", &["diff <(a | b) <(c)", "d"]);
    check("a > >(b | c) | d", &["a > >(b | c)", "d"]);
}

#[test]
fn redirections_are_left() {
    check("a 2>&1 | b", &["a 2>&1", "b"]);
    check("a >&2 2>&- <&3 | b", &["a >&2 2>&- <&3", "b"]);
    check("a >|f | b", &["a >|f", "b"]);
    check("a > f <g >>h <>i | b", &["a > f <g >>h <>i", "b"]);
    check("a <<<x | b <<< \"y|z\"", &["a <<<x", "b <<< \"y|z\""]);
    check("<f a | b", &["<f a", "b"]);
    check("a >'|' | b", &["a >'|'", "b"]);
}

#[test]
fn what_is_not_a_pipeline_is_refused() {
    refused("a && b", "contains `&&`");
    refused("a || b", "contains `||`");
    refused("a; b", "contains `;`");
    refused("a | b;", "contains `;`");
    refused("a |& b", "contains `|&`");
    refused("a &", "a background `&`");
    refused("a & b | c", "a background `&`");
    refused("a &> f | b", "contains `&>`");
    refused("a <<EOF | b", "here-document");
    refused("a <<-EOF", "here-document");
    refused("a # b", "a comment");
    refused("a |#b", "a comment");
    refused("$(a #b)", "a comment");
    refused("a\nb", "a newline");
    refused("a |\nb", "a newline");
    refused("a \\\n| b", "a newline");
    refused("a \"x\\\ny\"", "a newline");
    refused("$(a\nb)", "a newline");
    refused("f() { a; } | b", "a `(` inside a command");
    refused("a=(b c) | d", "a `(` inside a command");
    refused("a @(b|c) | d", "a `(` inside a command");
    refused("((a|b)) | c", "`((`");
    refused("(a) b | c", "a word after a closing bracket");
    refused("{ a; } b | c", "a word after a closing bracket");
    refused("a > | b", "nothing follows its `>`");
    refused("a >", "nothing follows its `>`");
}

#[test]
fn open_ends_are_refused() {
    refused("a 'b", "an unclosed `'`");
    refused("a \"b", "an unclosed `\"`");
    refused("a `b", "an unclosed ```");
    refused("a $(b", "an unclosed `(`");
    refused("(a | b", "an unclosed `(`");
    refused("{ a | b", "an unclosed `{`");
    refused("{ a }", "`}` inside brackets");
    refused("a ${b", "an unclosed `${`");
    refused("a $((1", "an unclosed `$((`");
    refused("a \\", "ends with `\\`");
    refused("a ) | b", "a `)` that nothing opens");
    refused("} | b", "begins with `}`");
    refused(&"$(".repeat(10_000), "too deep");
    refused(&"${x-".repeat(10_000), "too deep");
    refused(&"( ".repeat(10_000), "too deep");
}

#[test]
fn empty_stages_are_refused() {
    refused("", "it is empty");
    refused("  ", "it is empty");
    refused("| a", "begins with `|`");
    refused("a |", "ends with `|`");
    refused("a | | b", "stage 2 is empty");
    refused("a | b | | c", "stage 3 is empty");
}

#[test]
fn compound_commands_are_refused() {
    for word in REFUSED_FIRST {
        refused(&format!("{word} x | y"), &format!("begins with `{word}`"));
        refused(&format!("a | {word}"), &format!("begins with `{word}`"));
    }
    refused("(case x in x) a;; esac) | b", "`case` inside brackets");
    refused("$(case x in x) a;; esac) | b", "`case` inside brackets");
    refused("([[ a =~ ( ]]) | b", "`[[` inside brackets");
}

#[test]
fn what_shells_read_differently_is_refused() {
    refused(r"a $'x\'y' | b", "shells read differently");
    refused("a[1|2]=3 | b", "an open `[`");
    refused("a ${x:}-a|b} | c", "a `${..}` that not every `sh` knows");
    refused("a ${x:1:2} ${x/a/b} | c", "a `${..}` that not every `sh` knows");
    refused("a ${x-$${y}} | b", "inside `${..}`");
    refused("a $$(b) | c", "a `(` inside a command");
    refused("a $[1|2] | b", "`$[`");
    refused("a ${x:-'}'} | b", "inside `${..}`");
    refused("a \"${x:-\"y\"}\" | b", "inside `${..}`");
    refused("a ${ b | c; } | d", "a `${` without a name");
    refused("a $((\"1\")) | b", "inside `$((..))`");
    refused("a `b #` | c", "`#` inside backticks");
}

#[test]
fn hints_name_the_cure() {
    let hint = |text: &str| split(OsStr::new(text)).expect_err(text).hint.expect("a hint");
    assert_eq!(hint("a |& b"), "write `2>&1 |`");
    assert_eq!(hint("a &> f"), "write `>FILE 2>&1`");
    assert!(hint("a && b").contains("`::`"));
}

#[test]
fn bytes_that_are_not_utf8_are_kept() {
    let pieces = split(OsStr::from_bytes(b"a \xff | b \"\xfe|\"")).expect("a pipeline");
    assert_eq!(pieces, [OsStr::from_bytes(b"a \xff"), OsStr::from_bytes(b"b \"\xfe|\"")]);
}
